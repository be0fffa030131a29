"""Writes that leave the old file or the complete new one; reads that refuse incomplete files."""

import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from poc.shared.errors import UsageError

# The start of a hidden file in the target's folder, which a killed process leaves behind.
LEFTOVER = ".part-"
# On Windows a file that is opened by number is text without it.
OPEN_FLAGS = getattr(os, "O_BINARY", 0)


def write_bytes(path: Path, *contents: bytes | memoryview) -> None:
    """Write the contents one after the other into one file, completely or not at all."""
    write_pieces(path, contents)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a temporary file in the target's folder, flush it to the disk, then rename it.

    The folder is the target's own because a rename is atomic only within one file system.
    """
    with replacing(path) as stream:
        for piece in pieces:
            stream.write(piece)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of `path` once the block ends without an error."""
    temporary = path.parent / f"{LEFTOVER}{path.name}-{secrets.token_hex(4)}"
    descriptor = open_new(temporary)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_new(path: Path) -> int:
    """Create a file that does not exist yet; return its descriptor, open for writing bytes.

    Raises:
        OSError: The file exists, or the folder takes no file.
    """
    # Not `mkstemp`, whose files only their owner may read: a colleague could open no run folder,
    # and a web server no report. The user's umask decides, as for other files.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o666)


def write_json(path: Path, value: object) -> None:
    """Write indented JSON, with non-finite numbers as null."""
    write_bytes(path, (json.dumps(finite(value), indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read the value of a JSON file.

    Raises:
        UsageError: The file is missing or malformed.
    """
    try:
        return json.loads(read_regular(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"Got {str(path)!r}, which cannot be read as JSON ({error}). Expected a complete JSON "
            "file. Try naming a file that poc wrote."
        ) from None


def read_object(path: Path) -> dict[str, object]:
    """Read the JSON object of a file.

    Raises:
        UsageError: The file is missing or malformed, or its value is no object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UsageError(
            f"Got {str(path)!r}, which holds no JSON object. Expected a JSON object. Try naming a "
            "file that poc wrote."
        )
    return value


def finite(value: object) -> object:
    """Replace NaN and infinity by None, because JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_regular(path: Path) -> bytes:
    """Read a file's bytes; refuse a device or a pipe, which may never end.

    Raises:
        OSError: The file is no regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("no regular file")
    return path.read_bytes()


def remove_temporaries(folder: Path) -> None:
    """Delete the leftovers of a killed process; only one process writes into a folder."""
    for leftover in {*folder.glob(f"{LEFTOVER}*"), *folder.glob(".*.safetensors.link")}:
        leftover.unlink(missing_ok=True)
