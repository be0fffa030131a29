"""Files in a run's folder that poc has written; a new run or export replaces no others."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from poc.shared.files.arrays import FROZEN_NAME
from poc.shared.files.collisions import digest_file
from poc.shared.files.whole import LEFTOVER

# Weights of the kept epochs, of the end of each stage, and of checkpoints to resume from.
WEIGHTS = re.compile(r"(best|last|resume|resume_previous|after_\w*)\.safetensors")
# A hard link that a killed process has not renamed.
LINK = re.compile(r"\..+\.safetensors\.link")
# Start of the name of a folder in which an export is prepared.
EXPORT_LEFTOVER = ".export."


def find_checkpoints(folder: Path) -> Iterator[Path]:
    """Yield the weight files of a run, and remainders of them that a killed process left."""
    for path in folder.glob("*"):
        name = path.name
        is_named = WEIGHTS.fullmatch(name) or FROZEN_NAME.fullmatch(name) or LINK.fullmatch(name)
        if is_named or name.startswith(LEFTOVER):
            yield path


def find_halves(folder: Path) -> Iterator[Path]:
    """Yield the files that a killed process has not written to their end, and not renamed."""
    yield from folder.glob(f"{LEFTOVER}*")


def find_exports(folder: Path, rows: Iterable[Mapping[str, object]]) -> Iterator[Path]:
    """Yield the files in `exports/` that have not changed since `exports.json` noted them."""
    # As a list, since an iterator would be used up at the first file.
    known = list(rows)
    yield from (path for path in folder.glob("*") if path.is_file() and is_noted(path, known))


def is_noted(path: Path, rows: Iterable[Mapping[str, object]]) -> bool:
    """Tell if a file is an unchanged export of a run, or an unchanged companion of one.

    Args:
        path: A file.
        rows: Entries of `exports.json`; those of a former version have the file's size, and no
            digest; `companions` has the digests of files next to it.
    """
    for row in rows:
        companions = row.get("companions")
        if isinstance(companions, Mapping) and path.name in companions and path.is_file():
            if companions[path.name] == digest_file(path):
                return True
            continue
        if Path(str(row.get("file", ""))).name != path.name or not path.is_file():
            continue
        if "sha256" in row:
            if row["sha256"] == digest_file(path):
                return True
        elif row.get("file_bytes") == path.stat().st_size:
            return True
    return False
