"""What stands where a file is to be written: it is never lost unless poc itself wrote it."""

import hashlib
import os
from pathlib import Path

from poc.shared.errors import UsageError

from .whole import read_regular, write_bytes


def refuse_existing(path: Path, said: str = "the output", instead: str = "another file") -> None:
    """Refuse a path where something stands: a file, a folder, a link to nothing.

    Args:
        path: Where a file would be written.
        said: What names it in the command.
        instead: What the user may name in its place.

    Raises:
        UsageError: Something is there.
    """
    if os.path.lexists(path):
        raise UsageError(
            f"received {said} {str(path)!r}, which exists; name {instead} or remove it"
        )


def write_once(path: Path, content: bytes, said: str = "the output") -> None:
    """Write a whole file where there is none; one that holds the same stays.

    Raises:
        UsageError: Something else is there.
        OSError: The file cannot be written.
    """
    if not holds(path, content):
        refuse_existing(path, said)
        write_bytes(path, content)


def holds(path: Path, content: bytes) -> bool:
    """Whether a regular file is there with this content."""
    try:
        return path.stat().st_size == len(content) and read_regular(path) == content
    except OSError:
        return False


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content; of what cannot be read: nothing that a file would have."""
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        return "unreadable"
