"""Companions of an exported file: its description, and a script that labels images with it.

Only files that poc wrote are replaced: those of this content, and those that `exports.json` notes.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import jinja2

from poc.shared.engine.export.embedding import KEY
from poc.shared.engine.export.preprocess import Preprocess
from poc.shared.engine.export.runtimes import FORMATS
from poc.shared.engine.folder.own_files import is_noted
from poc.shared.files.collisions import digest_file, holds, refuse_existing
from poc.shared.files.whole import write_bytes
from poc.shared.shown_names import LABEL_SEPARATOR
from poc.shared.spec.data import PLAIN

TEMPLATE = "predict.py.jinja"


def write_script(file_format: str, interpolation: str = "bilinear") -> str:
    """Write the script that labels images with a file of this format.

    It is the same for every run whose images Pillow resizes.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        # The result is Python, not HTML.
        autoescape=False,
    )
    package = FORMATS[file_format].runs_with.replace("_", "-")
    return environment.get_template(TEMPLATE).render(
        script=name_script(file_format),
        ending=file_format,
        package=package,
        separator=LABEL_SEPARATOR,
        is_plain=interpolation == PLAIN,
    )


def name_script(file_format: str) -> str:
    """Return the name of the script for a format."""
    return f"predict_{file_format}.py"


def refuse_foreign_companions(
    folder: Path, file_format: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Refuse to replace files that poc did not write, before any work.

    Args:
        folder: Where the exported file will be.
        file_format: Its format.
        rows: Entries of `exports.json`.

    Raises:
        UsageError: A file with the name of a companion is there.
    """
    script, known = folder / name_script(file_format), list(rows)
    for path in (script, folder / KEY):
        is_same = path == script and any(
            holds(path, write_script(file_format, name).encode()) for name in ("bilinear", PLAIN)
        )
        if not is_same and not is_noted(path, known):
            refuse_existing(path, "an export, next to which is", "another folder")


def write_companions(folder: Path, file_format: str, known: Preprocess) -> dict[str, str]:
    """Write both files, and return their names with their SHA-256."""
    script = write_script(file_format, known.interpolation)
    texts = {KEY: known.write(), name_script(file_format): script}
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    return {name: digest_file(folder / name) for name in texts}
