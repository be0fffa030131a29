"""The ledger of a study: one JSON line per cell that has ended, in `study.jsonl`.

`study.json` in the same folder is the definition: a folder with another one is refused. A killed
process may leave half a last line, which is dropped: its cell has a finished run folder, or none.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.files.whole import finite, read_json, write_json

FORMAT = "poc study 1"
DEFINITION, LEDGER = "study.json", "study.jsonl"
Entry = dict[str, Any]


class Ledger:
    """Reader and writer of the ledger; the entries are in the order in which cells ended."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        content = self._path.read_bytes() if self._path.exists() else b""
        lines = content.split(b"\n")
        # Without its end, the last line was being written when the process was killed.
        if lines.pop():
            self._path.write_bytes(b"".join(line + b"\n" for line in lines))
        self.entries: list[Entry] = [json.loads(line) for line in lines if line]

    def append(self, entry: Mapping[str, object]) -> None:
        """Append an entry, and wait until the disk has it."""
        line = json.dumps(finite(dict(entry))) + "\n"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(json.loads(line))


def open_folder(folder: Path, definition: Mapping[str, object]) -> Ledger:
    """Make the folder of a study, or check that it belongs to the same one.

    Args:
        folder: New or empty folder, or that of the same study, which continues.
        definition: Content by which a study is the same: data, candidates, protocol.

    Raises:
        UsageError: The folder has other content or another study, or cannot be made.
    """
    path = folder / DEFINITION
    mine = json.loads(json.dumps({"format": FORMAT, **definition}))
    if path.is_file():
        if has_begun(folder):
            check_same(mine, read_json(path), folder)
        else:
            write_json(path, mine)
        return Ledger(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"Got the output {str(folder)!r}, whose content is no study. Expected a new or empty "
            "folder. Try naming one."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(folder)!r}, which cannot be made ({error.strerror}). Expected a "
            "folder that you may write to. Try naming another."
        ) from None
    write_json(path, mine)
    return Ledger(folder)


def has_begun(folder: Path) -> bool:
    """Return whether a cell has begun; before that, a study may still be corrected."""
    return any((folder / name).exists() for name in (LEDGER, "search"))


def check_same(mine: Mapping[str, object], theirs: object, folder: Path) -> None:
    """Refuse to continue a study with another one; the message names what differs.

    Raises:
        UsageError: See above.
    """
    stored = theirs if isinstance(theirs, dict) else {}
    odd = [key for key in {**stored, **mine} if stored.get(key) != mine.get(key)]
    if odd:
        raise UsageError(
            f"Got another study than the one in {str(folder)!r} ({', '.join(odd)} differ). "
            "Expected the same study, which continues. Try naming a new --output."
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the study's folder; the kernel releases it when the process ends in any way.

    Raises:
        UsageError: A study runs there now.
    """
    descriptor = os.open(folder / DEFINITION, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Got the output {str(folder)!r}, where a study runs now. Expected one study per "
                "folder. Try waiting for it or naming another folder."
            ) from None
        yield
    finally:
        os.close(descriptor)
