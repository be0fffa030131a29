"""Writes that leave either the old file or the whole new one."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from poc.shared.errors import UsageError

Arrays = dict[str, NDArray[Any]]


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside the target, flush to the disk, then rename over it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
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
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], **metadata: str) -> None:
    """A safetensors file: data only, never code."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_bytes(path, save(contiguous, metadata=metadata or None))


def read_arrays(path: Path) -> Arrays:
    """Arrays of a safetensors file.

    Raises:
        UsageError: Missing or malformed.
    """
    return read_arrays_and_metadata(path)[0]


def read_arrays_and_metadata(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Arrays of a safetensors file, and the texts of its header.

    Raises:
        UsageError: Missing or malformed.
    """
    try:
        content = read_regular(path)
        arrays = dict(load(content))
        # `load` has checked the header: 8 bytes of its length, then JSON.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return arrays, dict(header.get("__metadata__") or {})
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"received {str(path)!r}, which is no readable safetensors file ({error}); name "
            "one that poc wrote"
        ) from None


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
    for leftover in folder.glob(".*.*"):
        leftover.unlink(missing_ok=True)
