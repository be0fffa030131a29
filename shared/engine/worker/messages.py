"""Messages between the command's process and a worker: JSON and arrays, without pickle.

A message is two length-prefixed blocks: a JSON tree in which {"$array": name} stands for an array,
and a safetensors block with these arrays.
"""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, Protocol

import numpy as np
from safetensors.numpy import load, save

from poc.shared.files.arrays import Array, Arrays

# Lengths of both blocks in bytes, little-endian 64-bit: weights may take more than 4 GiB.
HEADER = struct.Struct("<QQ")
MARK = "$array"


class Readable(Protocol):
    """A stream of bytes that messages are read from."""

    def read(self, count: int, /) -> bytes:
        """Read `count` bytes, or fewer at the end of the stream."""


def send(stream: IO[bytes], message: Mapping[str, object]) -> None:
    """Write one message; its arrays may have any shape."""
    arrays: Arrays = {}
    tree = json.dumps(pack(message, arrays)).encode()
    block = save(arrays) if arrays else b""
    stream.write(HEADER.pack(len(tree), len(block)) + tree + block)
    stream.flush()


def receive(stream: Readable) -> dict[str, Any]:
    """Read one message; its arrays have the shapes and types that were sent.

    Raises:
        EOFError: The other side has closed the stream.
    """
    tree_bytes, block_bytes = HEADER.unpack(read_exactly(stream, HEADER.size))
    tree = json.loads(read_exactly(stream, tree_bytes))
    arrays = load(read_exactly(stream, block_bytes)) if block_bytes else {}
    return dict(unpack(tree, arrays))


def read_exactly(stream: Readable, count: int) -> bytes:
    """Read exactly `count` bytes.

    Raises:
        EOFError: The stream ended before.
    """
    content = stream.read(count)
    if len(content) != count:
        raise EOFError(f"Got {len(content)} bytes. Expected {count}: the other process has ended.")
    return content


def pack(value: object, arrays: Arrays) -> object:
    """Replace every array (…) by its mark, and collect it in `arrays`; shapes do not change."""
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        # safetensors writes the memory of an array in order, so a transposed view has to be copied.
        arrays[name] = np.asarray(value, order="C")
        return {MARK: name}
    if isinstance(value, np.generic):
        # JSON knows Python's numbers alone.
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): pack(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [pack(item, arrays) for item in value]
    return value


def unpack(value: object, arrays: Mapping[str, Array]) -> Any:
    """Replace every mark by its array (…); shapes do not change."""
    if isinstance(value, dict):
        if value.keys() == {MARK}:
            return arrays[value[MARK]]
        return {key: unpack(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    return value
