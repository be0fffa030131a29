"""Every file of a folder looked at once, before work starts, and remembered for the next time.

A file that cannot be read is thus found before the first step and not in the seventh epoch. What
was found is kept in the user's cache folder and taken again while a file's stamp stays the same:
size, times of change, inode.
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
# A file that changes twice within the clock's step keeps its stamp. What was looked at so soon
# after its last change is looked at once more.
SECONDS_UNSURE = 2.0

Note = Callable[[str], None]


class Row(NamedTuple):
    """What one look found, and when it began, in nanoseconds since 1970."""

    looked_ns: int
    facts: FileFacts


def ignore(text: str) -> None:
    """A note that nobody reads."""


def inspect_files(
    root: Path, names: Sequence[str], note: Note = ignore, *, is_anew: bool = False
) -> list[FileFacts]:
    """Facts of each file, in the order of `names` (paths below `root`).

    Args:
        root: The folder.
        names: Paths below it.
        note: Told once when this takes more than a few seconds.
        is_anew: Read every file, whatever an earlier look found.
    """
    store = cache_root() / "inspections" / f"{hash_text(str(root.resolve()))}.json"
    known = {} if is_anew else read_known(store)
    rows = {name: known[name] for name in names if name in known}
    stale = [name for name in names if not is_sure(rows.get(name), take_stamp(root / name))]
    looked_ns = time.time_ns()
    for name, facts in zip(stale, inspect_all([root / name for name in stale], note), strict=True):
        rows[name] = Row(looked_ns, facts)
    if stale:
        remember(store, rows)
    return [rows[name].facts for name in names]


def is_sure(row: Row | None, now: Stamp) -> bool:
    """Whether what was found still holds of a file with this stamp."""
    if row is None or not now or row.facts.stamp != now:
        return False
    # The time that no tool can set: files dated into the future are looked at once like others.
    changed_ns = now[2]
    return changed_ns + SECONDS_UNSURE * 1e9 < row.looked_ns


def inspect_all(paths: Sequence[Path], note: Note) -> Iterator[FileFacts]:
    """Facts of each path; threads help, because Pillow decodes without the interpreter's lock."""
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
    """What an earlier look found; nothing where the store is missing or foreign."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            return {}
        return {name: read_row(*row) for name, row in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def read_row(looked_ns: int, facts: dict[str, Any]) -> Row:
    """A stored row; JSON knows no tuples."""
    return Row(looked_ns, FileFacts(**{**facts, "stamp": tuple(facts["stamp"])}))


def remember(store: Path, rows: dict[str, Row]) -> None:
    """Keep the facts; a place that cannot be written to costs only the next look."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        files = {name: [row.looked_ns, asdict(row.facts)] for name, row in rows.items()}
        write_bytes(store, json.dumps({"format": FORMAT, "files": files}).encode())
    except OSError:
        return


def hash_text(text: str) -> str:
    """A file name that stands for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
