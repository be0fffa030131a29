"""Writes that leave the old file or the whole new one; reads that refuse what is not whole."""

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError

# A hidden file beside the target: what a killed process left of its write.
LEFTOVER = ".part-"


def write_bytes(path: Path, *contents: bytes | memoryview) -> None:
    """Write one after the other into a whole file."""
    write_pieces(path, contents)


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write beside the target, flush to the disk, then rename over it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{LEFTOVER}{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, non-finite numbers as null."""
    write_bytes(path, (json.dumps(finite(value), indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The file's value.

    Raises:
        UsageError: Missing or malformed.
    """
    try:
        return json.loads(read_regular(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"received {str(path)!r}, which cannot be read as JSON ({error}); name a "
            "file that poc wrote"
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        UsageError: Missing, malformed or no object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UsageError(
            f"received {str(path)!r}, which holds no JSON object; name a file that poc wrote"
        )
    return value


def finite(value: Any) -> Any:
    """The value with NaN and infinity replaced by none, which JSON can hold."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_regular(path: Path) -> bytes:
    """Bytes of a file; a device or a pipe, which may never end, is refused.

    Raises:
        OSError: No regular file, or unreadable.
    """
    if path.exists() and not path.is_file():
        raise OSError("no regular file")
    return path.read_bytes()


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed process left of its writes; only one process writes into a folder."""
    for leftover in {*folder.glob(f"{LEFTOVER}*"), *folder.glob(".*.safetensors.link")}:
        leftover.unlink(missing_ok=True)
