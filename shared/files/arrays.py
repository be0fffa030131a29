"""Safetensors files: reads refuse what is not whole.

A weight file may leave out the tensors that never move and name another file beside it, by its
content, that holds them (frozen_tensors.py writes both). Readers get the two as one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from poc.shared.errors import UsageError

from .whole import read_regular, write_bytes

# An array that is looked at, moved or stored, whatever it holds.
Array = NDArray[np.generic]
# Arrays by name, as a file gives them: what each holds is its reader's to know or to check.
Arrays = dict[str, NDArray[Any]]
# The text of a header that names the file with the frozen tensors.
FROZEN_FILE = "frozen_file"
FROZEN_NAME = re.compile(r"frozen-([0-9a-f]{64})\.safetensors")
MAPPED_TYPES: dict[str, type[np.floating]] = {"F32": np.float32, "F64": np.float64}
# Types of a safetensors file that NumPy has; bfloat16 is the upper half of a float32.
NUMPY_TYPES: dict[str, type[np.generic]] = {
    **MAPPED_TYPES,
    "F16": np.float16,
    "BF16": np.uint16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def write_arrays(path: Path, arrays: Mapping[str, Array], **metadata: str) -> None:
    """A safetensors file: data only, never code; equal arrays and texts give equal bytes."""
    write_bytes(path, *encode_arrays(arrays, **metadata))


def encode_arrays(arrays: Mapping[str, Array], **metadata: str) -> tuple[bytes | memoryview, ...]:
    """The content of such a file, in parts that follow each other."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(contiguous)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    # The library writes several texts in an order that changes from call to call.
    text = json.dumps({**({"__metadata__": metadata} if metadata else {}), **header}).encode()
    padded = text.ljust(-(-len(text) // 8) * 8)
    return len(padded).to_bytes(8, "little"), padded, memoryview(content)[start:]


def read_arrays(path: Path) -> Arrays:
    """Arrays of a safetensors file, those that it left to another one included.

    Raises:
        UsageError: Missing or malformed, or that other file is.
    """
    return read_arrays_and_metadata(path)[0]


def read_arrays_and_metadata(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The same, and the texts of its header.

    Raises:
        UsageError: Missing or malformed, or that other file is.
    """
    own, metadata = read_own_arrays(path)
    return {**read_frozen_arrays(path, metadata), **own}, metadata


def read_own_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Arrays that stand in this very file, and the texts of its header.

    Raises:
        UsageError: Missing or malformed.
    """
    try:
        return decode_arrays(read_regular(path))
    except FileNotFoundError:
        raise UsageError(
            f"received {str(path)!r}, which is not there; restore it, or name a file that is"
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"received {str(path)!r}, which is damaged or no safetensors file ({error}); restore "
            "it, or name another file"
        ) from None


def decode_arrays(content: bytes) -> tuple[Arrays, dict[str, str]]:
    """Arrays and texts of a safetensors file's content.

    Raises:
        SafetensorError, ValueError, KeyError, RecursionError: It is not whole.
    """
    views = deserialize(content)  # type: ignore[no-untyped-call]
    arrays = {name: to_array(name, **view) for name, view in views}
    # `deserialize` has checked the header: 8 bytes of its length, then JSON.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays, dict(header.get("__metadata__") or {})


def read_frozen_arrays(path: Path, metadata: Mapping[str, str]) -> Arrays:
    """Arrays that a weight file left to the one that its header names; none where it names none.

    Raises:
        UsageError: That file is not beside it, or is no longer what was written.
    """
    beside = find_frozen_file(path, metadata)
    if beside is None:
        return {}
    rest = f"received {str(path)!r}, whose frozen tensors lie in {beside.name!r}"
    try:
        content = read_regular(beside)
    except OSError as error:
        reason = "which is not beside it"
        if not isinstance(error, FileNotFoundError):
            reason = f"which cannot be read ({error.strerror or error})"
        advice = (
            "look for a file of that name in the checkpoints folders of the runs that were beside "
            "this one, and copy it there"
            if (path.parent.parent / "run.json").is_file()
            else "copy it there, or write the run's weights into one file with `poc weights "
            "convert RUN_FOLDER FILE`"
        )
        raise UsageError(f"{rest}, {reason}; allowed are both in one folder: {advice}") from None
    if frozen_name(content) != beside.name:
        raise UsageError(
            f"{rest}, which has changed since it was written; allowed is its former content: "
            "restore it, or copy it from a run folder that has a file of this name"
        )
    return decode_arrays(content)[0]


def find_frozen_file(path: Path, metadata: Mapping[str, str]) -> Path | None:
    """The file that holds what a weight file left out; none: it is whole."""
    name = metadata.get(FROZEN_FILE, "")
    return path.parent / name if FROZEN_NAME.fullmatch(name) else None


def frozen_name(*contents: bytes | memoryview) -> str:
    """The name of a file with this content: its sha256, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return f"frozen-{digest.hexdigest()}.safetensors"


def to_array(name: str, dtype: str, shape: list[int], data: bytes) -> Array:
    """One tensor of a safetensors file; bfloat16 as the equal float32.

    Raises:
        ValueError: A type that NumPy has not.
    """
    if dtype not in NUMPY_TYPES:
        raise ValueError(f"{name[:200]!r} is of type {dtype}, allowed are {', '.join(NUMPY_TYPES)}")
    array = np.frombuffer(data, NUMPY_TYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()


def map_arrays(path: Path) -> Arrays:
    """Arrays of a safetensors file, mapped: read when they are asked for.

    Raises:
        ValueError: The file is not whole.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("too short")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {
        name: np.memmap(
            path,
            MAPPED_TYPES[entry["dtype"]],
            "r",
            offset=8 + length + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )
        for name, entry in header.items()
    }
