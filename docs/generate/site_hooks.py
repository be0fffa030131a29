"""What MkDocs calls while it builds the site: generated tables, and pages from outside of docs/."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from poc.docs.generate.command_lists import fill_commands
from poc.docs.generate.settings_tables import fill_settings

ROOT = Path(__file__).parents[2]
# Files of the root that are pages of the site, and their names there.
ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
# Page with marks -> what puts the generated parts in their place.
GENERATED = {"reference/settings.md": fill_settings, "reference/commands.md": fill_commands}
LINK = re.compile(r"(\]\()([^)\s#]+)")
# What an entry of the changelog changes; two in a row would be a reference in Markdown.
TAG = re.compile(r"\[(cli|shared|tf|torch)\]")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root."""
    for name, page in ROOT_PAGES.items():
        text = LINK.sub(into_docs, (ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=TAG.sub(r"\\[\1\\]", text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated; point links that leave docs/ at the pages of the root."""
    fill = GENERATED.get(page.file.src_uri)
    return LINK.sub(out_of_docs, fill(markdown) if fill else markdown)


def into_docs(link: re.Match[str]) -> str:
    """A link of a page of the root, as seen from docs/."""
    target = link[2].removeprefix("docs/")
    return f"{link[1]}{ROOT_PAGES.get(target, target)}"


def out_of_docs(link: re.Match[str]) -> str:
    """A link to a page of the root, which lies beside index.md in the site."""
    *parents, name = link[2].split("/")
    if name in ROOT_PAGES and parents and set(parents) == {".."}:
        return f"{link[1]}{'../' * (len(parents) - 1)}{ROOT_PAGES[name]}"
    return link[0]
