"""The inspection of every file of a folder before work starts, with results kept for later runs.

A file that cannot be read is thus found before the first step and not in the seventh epoch. The
results are stored in the user's cache folder and used again while a file's stamp stays the same:
size, times of change, inode. A file that could not be read is looked at again by every run.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from poc.shared.files.cache import cache_root
from poc.shared.files.regular_files import Stamp, take_stamp
from poc.shared.files.whole import write_bytes
from poc.shared.machine import count_cpus

from .decoding import DECODING, FileFacts, inspect_file

FORMAT = f"poc inspection 2, {DECODING}"
CHUNK_FILES = 512
SECONDS_BEFORE_NOTE = 5.0
# A file that changes twice within the file system's clock step keeps its stamp. A file that was
# inspected so soon after its last change is therefore inspected again. FAT's step is 2 s.
SECONDS_UNSURE = 2.0

Note = Callable[[str], None]


class KeptNotes:
    """A `Note` that passes each sentence on at once, and keeps it: `run.json` repeats them.

    Args:
        note: Takes each sentence to the user.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self.texts: list[str] = []

    def __call__(self, text: str) -> None:
        """Keep a sentence, and pass it on."""
        self.texts.append(text)
        self._note(text)


class Row(NamedTuple):
    """The facts of one inspection, and its start in nanoseconds since 1970."""

    looked_ns: int
    facts: FileFacts


def ignore(text: str) -> None:
    """Drop a note, for callers that show none."""


def inspect_files(
    root: Path, names: Sequence[str], note: Note = ignore, *, is_anew: bool = False
) -> list[FileFacts]:
    """Return the facts of each file, in the order of `names` (paths below `root`).

    Args:
        root: The folder.
        names: Paths below it.
        note: Called once if the inspection takes more than a few seconds.
        is_anew: Read every file again, whatever an earlier inspection found.
    """
    store = cache_root() / "inspections" / f"{hash_text(str(root.resolve()))}.json"
    known = {} if is_anew else read_known(store)
    rows = {name: known[name] for name in names if name in known}
    stale = [name for name in names if not is_sure(rows.get(name), take_stamp(root / name))]
    # Taken before the first read, so that a change during the inspection counts as later.
    looked_ns = time.time_ns()
    for name, facts in zip(stale, inspect_all([root / name for name in stale], note), strict=True):
        rows[name] = Row(looked_ns, facts)
    if stale:
        remember(store, rows)
    return [rows[name].facts for name in names]


def is_sure(row: Row | None, now: Stamp) -> bool:
    """Return True if the stored facts are still valid for a file with this stamp."""
    # An error may come from this machine and not from the file: a decoder that is missing, or too
    # little memory. No stamp tells that it is over.
    if row is None or row.facts.error or not now or row.facts.stamp != now:
        return False
    # The status change time, which no tool can set. With the modification time, a file dated in the
    # future would be inspected by every run.
    changed_ns = now[2]
    return changed_ns + SECONDS_UNSURE * 1e9 < row.looked_ns


def inspect_all(paths: Sequence[Path], note: Note) -> Iterator[FileFacts]:
    """Yield the facts of each path, in order."""
    # Threads are enough, because Pillow decodes without the interpreter's lock.
    started, is_noted = time.monotonic(), False
    with ThreadPoolExecutor(count_cpus()) as pool:
        remaining, done = iter(paths), 0
        while chunk := list(islice(remaining, CHUNK_FILES)):
            yield from pool.map(inspect_file, chunk)
            done += len(chunk)
            seconds = time.monotonic() - started
            if not is_noted and done < len(paths) and seconds > SECONDS_BEFORE_NOTE:
                is_noted = True
                total = seconds * len(paths) / done
                note(f"Looking at {len(paths):,} files, once: about {total:,.0f} s.")


def read_known(store: Path) -> dict[str, Row]:
    """Read the results of an earlier inspection; empty if the store is missing or malformed."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            return {}
        return {name: read_row(*row) for name, row in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def read_row(looked_ns: int, facts: dict[str, Any]) -> Row:
    """Build a row from its stored form, in which JSON has made a list of the stamp's tuple."""
    return Row(looked_ns, FileFacts(**{**facts, "stamp": tuple(facts["stamp"])}))


def remember(store: Path, rows: dict[str, Row]) -> None:
    """Store the facts."""
    # A failed write is no error: the next run inspects the files again.
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        files = {name: [row.looked_ns, asdict(row.facts)] for name, row in rows.items()}
        write_bytes(store, json.dumps({"format": FORMAT, "files": files}).encode())
    except OSError:
        return


def hash_text(text: str) -> str:
    """Return a file name for any text, equal for equal texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
