"""Hooks that MkDocs calls while it builds the site: generated tables, and pages from elsewhere."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from poc.docs.generate.command_lists import fill_commands
from poc.docs.generate.notebook_pages import (
    FOLDER,
    NOTEBOOK_PAGES,
    mend_notebook_links,
    write_page,
)
from poc.docs.generate.settings_tables import fill_settings
from poc.docs.generate.site_pages import ROOT_PAGES, mend_links, read_root_page

# Page with marks -> what puts the generated parts in their place.
GENERATED = {"reference/settings.md": fill_settings, "reference/commands.md": fill_commands}

ROOT = Path(__file__).resolve().parents[2]
# The package as the reader of docstrings finds it. It follows every link, and the root of the
# repository has the environment, and a link to itself (`.alias/poc`) for the type checker.
SOURCES = ROOT / ".alias" / "sources" / "poc"
DESCRIBED = ("__init__.py", "cli.py", "shared", "tf_impl", "torch_impl")


def on_startup(**_: Any) -> None:
    """Link what the pages describe, and nothing else, into a folder."""
    SOURCES.mkdir(parents=True, exist_ok=True)
    for name in DESCRIBED:
        # Another build may be making the same link.
        with suppress(FileExistsError):
            (SOURCES / name).symlink_to(Path("../../..") / name)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root and of the notebooks."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=read_root_page(name)))
    for notebook, page in NOTEBOOK_PAGES.items():
        content = write_page(FOLDER.parent / notebook)
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated; point links that leave docs/ at the pages of the root."""
    fill = GENERATED.get(page.file.src_uri)
    return mend_notebook_links(mend_links(fill(markdown) if fill else markdown))
