"""Safetensors files: reads refuse an incomplete file.

A weight file may leave out the tensors that never change and name another file in its folder, by
its content, that holds them (frozen_tensors.py writes both). Readers get the two as one.
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

# An array of any type that is inspected, moved or stored.
Array = NDArray[np.generic]
# Arrays by name, as read from a file. Each reader checks the types that it expects.
Arrays = dict[str, NDArray[Any]]
# The key of the header's text that names the file with the frozen tensors.
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
    """Write a safetensors file: data, never code; equal arrays and texts give equal bytes.

    Args:
        path: The file, which is replaced if it exists.
        arrays: Name -> array (…), of any shape and of a type in `NUMPY_TYPES`.
        **metadata: Texts for the header.
    """
    write_bytes(path, *encode_arrays(arrays, **metadata))


def encode_arrays(arrays: Mapping[str, Array], **metadata: str) -> tuple[bytes | memoryview, ...]:
    """Return the content of a safetensors file, in parts that follow each other.

    Args:
        arrays: Name -> array (…), of any shape.
        **metadata: Texts for the header.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(contiguous)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    # The library writes several texts in an order that changes from call to call.
    text = json.dumps({**({"__metadata__": metadata} if metadata else {}), **header}).encode()
    padded = text.ljust(-(-len(text) // 8) * 8)
    return len(padded).to_bytes(8, "little"), padded, memoryview(content)[start:]


def read_arrays(path: Path) -> Arrays:
    """Read the arrays of a safetensors file, including those that it left to another file.

    Returns:
        Name -> array (…), of the stored shape.

    Raises:
        UsageError: The file or that other file is missing or malformed.
    """
    return read_arrays_and_metadata(path)[0]


def read_arrays_and_metadata(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read all arrays, as `read_arrays` does, and the texts of the file's own header.

    Returns:
        Name -> array (…), of the stored shape, and key -> text.

    Raises:
        UsageError: The file or the one that it names is missing or malformed.
    """
    own, metadata = read_own_arrays(path)
    return {**read_frozen_arrays(path, metadata), **own}, metadata


def read_own_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read the arrays that this file itself contains, and the texts of its header.

    Returns:
        Name -> array (…), of the stored shape, and key -> text.

    Raises:
        UsageError: The file is missing or malformed.
    """
    try:
        return decode_arrays(read_regular(path))
    except FileNotFoundError:
        raise UsageError(
            f"Got {str(path)!r}, which does not exist. Expected a safetensors file. Try restoring "
            "it, or name a file that exists."
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"Got {str(path)!r}, which is damaged or no safetensors file ({error}). Expected a "
            "complete safetensors file. Try restoring it, or name another file."
        ) from None


def decode_arrays(content: bytes) -> tuple[Arrays, dict[str, str]]:
    """Decode the content of a safetensors file into its arrays and the texts of its header.

    Returns:
        Name -> array (…), of the stored shape, and key -> text.

    Raises:
        SafetensorError, ValueError, KeyError, RecursionError: The content is incomplete.
    """
    views = deserialize(content)  # type: ignore[no-untyped-call]
    arrays = {name: to_array(name, **view) for name, view in views}
    # `deserialize` has checked the header: 8 bytes of its length, then JSON.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays, dict(header.get("__metadata__") or {})


def read_frozen_arrays(path: Path, metadata: Mapping[str, str]) -> Arrays:
    """Read the arrays that a weight file left to the file that its header names.

    Returns:
        Name -> array (…), of the stored shape; empty if the header names no file.

    Raises:
        UsageError: That file is not in the same folder, or has changed since it was written.
    """
    beside = find_frozen_file(path, metadata)
    if beside is None:
        return {}
    rest = f"Got {str(path)!r}, whose frozen tensors are in {beside.name!r}"
    try:
        content = read_regular(beside)
    except OSError as error:
        reason = "which is not in the same folder"
        if not isinstance(error, FileNotFoundError):
            reason = f"which cannot be read ({error.strerror or error})"
        advice = (
            "looking for a file of that name in the checkpoints folders of the runs that were next "
            "to this one, and copy it there"
            if (path.parent.parent / "run.json").is_file()
            else "copying it there, or write the run's weights into one file with `poc weights "
            "convert RUN_FOLDER FILE`"
        )
        raise UsageError(f"{rest}, {reason}. Expected both in one folder. Try {advice}.") from None
    if frozen_name(content) != beside.name:
        raise UsageError(
            f"{rest}, which has changed since it was written. Expected its former content. Try "
            "restoring it, or copy it from a run folder that has a file of this name."
        )
    return decode_arrays(content)[0]


def find_frozen_file(path: Path, metadata: Mapping[str, str]) -> Path | None:
    """Return the file with the tensors that a weight file left out; None if it left out none."""
    # Only a name of our own form is followed: a header must not lead to a file in another folder.
    name = metadata.get(FROZEN_FILE, "")
    return path.parent / name if FROZEN_NAME.fullmatch(name) else None


def frozen_name(*contents: bytes | memoryview) -> str:
    """Return the name of a file with this content: its sha256, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return f"frozen-{digest.hexdigest()}.safetensors"


def to_array(name: str, dtype: str, shape: list[int], data: bytes) -> Array:
    """Return one tensor (…) of a safetensors file, in `shape`; bfloat16 as the equal float32.

    Raises:
        ValueError: NumPy does not have the type.
    """
    if dtype not in NUMPY_TYPES:
        known = ", ".join(NUMPY_TYPES)
        raise ValueError(f"{name[:200]!r} is of type {dtype}, and the known types are {known}")
    array = np.frombuffer(data, NUMPY_TYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()


def map_arrays(path: Path) -> Arrays:
    """Map the arrays of a safetensors file, which are read when they are used.

    Returns:
        Name -> float32 or float64 array (…), of the stored shape.

    Raises:
        ValueError: The file is incomplete.
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
