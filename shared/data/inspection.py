"""Every file of a folder looked at once, before work starts, and remembered for the next time.

A file that cannot be read is thus found before the first step and not in the seventh epoch. What
was found is kept in the user's cache folder and taken again while a file's size and time stay the
same.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from .decoding import FileFacts, inspect_file
from .storage import cache_root, write_whole

FORMAT = "poc inspection 1"
CHUNK_FILES = 512
SECONDS_BEFORE_NOTE = 5.0

Note = Callable[[str], None]


def ignore(text: str) -> None:
    """A note that nobody reads."""


def inspect_files(root: Path, names: Sequence[str], note: Note = ignore) -> list[FileFacts]:
    """Facts of each file, in the order of `names` (paths below `root`).

    Args:
        root: The folder.
        names: Paths below it.
        note: Told once when this takes more than a few seconds.
    """
    store = cache_root() / "inspections" / f"{hash_text(str(root.resolve()))}.json"
    known = read_known(store)
    stamps = [stamp(root / name) for name in names]
    stale = [
        name
        for name, now in zip(names, stamps, strict=True)
        if name not in known or known[name]["stamp"] != now
    ]
    fresh = dict(zip(stale, inspect_all([root / name for name in stale], note), strict=True))
    facts = [fresh.get(name) or FileFacts(**known[name]["facts"]) for name in names]
    if stale:
        rows = {
            name: {"stamp": now, "facts": asdict(fact)}
            for name, now, fact in zip(names, stamps, facts, strict=True)
        }
        remember(store, rows)
    return facts


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


def stamp(path: Path) -> list[int]:
    """Size and time of change: equal while the file is the same."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def read_known(store: Path) -> dict[str, Any]:
    """What an earlier look found; nothing where the store is missing or foreign."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
        return dict(stored["files"]) if stored["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def remember(store: Path, rows: dict[str, Any]) -> None:
    """Keep the facts; a place that cannot be written to costs only the next look."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_whole(store, [json.dumps({"format": FORMAT, "files": rows}).encode()])
    except OSError:
        return


def count_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hash_text(text: str) -> str:
    """A file name that stands for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
