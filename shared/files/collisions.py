"""Files that exist where one is to be written: only files that poc wrote are replaced."""

import hashlib
import os
from pathlib import Path

from poc.shared.errors import UsageError

from .whole import read_regular, write_bytes


def refuse_existing(path: Path, said: str = "the output", instead: str = "another file") -> None:
    """Refuse a path that exists: a file, a folder, or a link to nothing.

    Args:
        path: The place of the file to write.
        said: The words for the path in the message, such as an option's name.
        instead: The words for another path that the user may name.

    Raises:
        UsageError: The path exists.
    """
    if os.path.lexists(path):
        raise UsageError(
            f"Got {said} {str(path)!r}, which exists. Expected a path where nothing exists. Try "
            f"naming {instead}, or remove it."
        )


def write_once(path: Path, content: bytes, said: str = "the output") -> None:
    """Write a new file completely; a file with the same content stays untouched.

    Raises:
        UsageError: The path exists with other content.
        OSError: The file cannot be written.
    """
    if not holds(path, content):
        refuse_existing(path, said)
        write_bytes(path, content)


def holds(path: Path, content: bytes) -> bool:
    """Return True if the path is a regular file with this content."""
    try:
        return path.stat().st_size == len(content) and read_regular(path) == content
    except OSError:
        return False


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, or a text that no file has if it cannot be read."""
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        return "unreadable"
