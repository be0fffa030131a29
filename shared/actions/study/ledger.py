"""The ledger of a study: one JSON line per cell that has ended, in `study.jsonl`.

`study.json` in the same folder is the definition: a folder with another one is refused. A killed
process may leave half a last line, which is dropped: its cell has a finished run folder, or none.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poc.shared.analysis.study.decision import DEFINITION
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.sweep_definition import locked
from poc.shared.errors import UsageError
from poc.shared.files.whole import finite, read_json, write_json

FORMAT = "poc study 4"
LEDGER = "study.jsonl"
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

    @property
    def budget_seconds(self) -> float:
        """Return the largest budget that a call of the study had; 0 before the first cell."""
        return max((entry.get("budget_seconds", 0.0) for entry in self.entries), default=0.0)

    def append(self, entry: Mapping[str, object]) -> None:
        """Append an entry, and wait until the disk has it."""
        line = json.dumps(finite(dict(entry))) + "\n"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(json.loads(line))


@contextmanager
def open_ledger(folder: Path, definition: Mapping[str, object]) -> Iterator[Ledger]:
    """Hold the folder of a study, and yield its ledger.

    Definition and ledger are read and written under the lock, which is on the folder itself:
    another process may be starting the same study now, or writing a line.

    Args:
        folder: New or empty folder, or that of the same study, which continues.
        definition: Content by which a study is the same: data, candidates, protocol.

    Raises:
        UsageError: The folder has other content or another study, a study runs there now, or it
            cannot be made.
    """
    refuse_other_content(folder)
    RunFolder(folder).make(folder)
    with locked(folder, definition=".", word="study"):
        settle_definition(folder, definition)
        yield Ledger(folder)


def refuse_other_content(folder: Path) -> None:
    """Refuse a file, and a folder that has something else than a study.

    Raises:
        UsageError: See above.
    """
    is_other = folder.is_dir() and not (folder / DEFINITION).is_file() and any(folder.iterdir())
    if is_other or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"Got the output {str(folder)!r}, whose content is no study. Expected a new or empty "
            "folder. Try naming one."
        )


def settle_definition(folder: Path, definition: Mapping[str, object]) -> None:
    """Write the definition of a study that has not begun; check that of one that has.

    Raises:
        UsageError: Another study has begun in the folder.
    """
    mine = json.loads(json.dumps({"format": FORMAT, **definition}))
    if has_begun(folder):
        check_same(mine, read_json(folder / DEFINITION), folder)
    else:
        write_json(folder / DEFINITION, mine)


def has_begun(folder: Path) -> bool:
    """Return whether a cell has begun; before that, a study may still be corrected."""
    return any((folder / name).exists() for name in (LEDGER, "search"))


def check_same(mine: Mapping[str, object], theirs: object, folder: Path) -> None:
    """Refuse to continue a study with another one; the message names what differs.

    Raises:
        UsageError: See above.
    """
    stored = theirs if isinstance(theirs, dict) else {}
    if stored.get("format") != FORMAT:
        raise UsageError(
            f"Got the study in {str(folder)!r}, which another version of poc has begun. Expected "
            f"one of the format {FORMAT!r}, since others train their cells otherwise. Its page and "
            "its decision stay. Try naming a new --output."
        )
    odd = [key for key in {**stored, **mine} if stored.get(key) != mine.get(key)]
    if odd:
        raise UsageError(
            f"Got another study than the one in {str(folder)!r} ({', '.join(odd)} differ). "
            "Expected the same study, which continues. Try naming a new --output."
        )
