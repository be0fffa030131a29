"""Which files below a run's folder poc has written: these alone a new run or export replaces."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from poc.shared.files.arrays import FROZEN_NAME
from poc.shared.files.collisions import digest_file
from poc.shared.files.whole import LEFTOVER

# Weights that a stage ended with, and what a resume needs.
WEIGHTS = re.compile(r"(best|last|resume|resume_previous|after_\w*)\.safetensors")
LINK = re.compile(r"\..+\.safetensors\.link")
# A folder beside an export that is being written.
EXPORT_LEFTOVER = ".export."


def find_checkpoints(folder: Path) -> Iterator[Path]:
    """Weight files of a run, and what a killed process left of them."""
    for path in folder.glob("*"):
        name = path.name
        is_named = WEIGHTS.fullmatch(name) or FROZEN_NAME.fullmatch(name) or LINK.fullmatch(name)
        if is_named or name.startswith(LEFTOVER):
            yield path


def find_exports(folder: Path, rows: Iterable[Mapping[str, object]]) -> Iterator[Path]:
    """Files in a run's `exports/` that are as `exports.json` notes them."""
    known = list(rows)
    yield from (path for path in folder.glob("*") if path.is_file() and is_noted(path, known))


def is_noted(path: Path, rows: Iterable[Mapping[str, object]]) -> bool:
    """Whether a file is an export of a run, unchanged.

    Args:
        path: A file.
        rows: Entries of `exports.json`; a former version's say the size of the file alone.
    """
    for row in rows:
        if Path(str(row.get("file", ""))).name != path.name or not path.is_file():
            continue
        if "sha256" in row:
            if row["sha256"] == digest_file(path):
                return True
        elif row.get("file_bytes") == path.stat().st_size:
            return True
    return False
