"""What crosses between the command's process and a worker: JSON with arrays beside it, no pickle.

A message is two length-prefixed blocks: a JSON tree in which {"$array": name} stands for an array,
and a safetensors block that holds these arrays.
"""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, Protocol

import numpy as np
from safetensors.numpy import load, save

from poc.shared.files.arrays import Array, Arrays

HEADER = struct.Struct("<QQ")
MARK = "$array"


class Readable(Protocol):
    """Where messages come from."""

    def read(self, count: int, /) -> bytes:
        """`count` bytes, or fewer at the end."""


def send(stream: IO[bytes], message: Mapping[str, object]) -> None:
    """Write one message."""
    arrays: Arrays = {}
    tree = json.dumps(pack(message, arrays)).encode()
    block = save(arrays) if arrays else b""
    stream.write(HEADER.pack(len(tree), len(block)) + tree + block)
    stream.flush()


def receive(stream: Readable) -> dict[str, Any]:
    """Read one message.

    Raises:
        EOFError: The other side has closed.
    """
    tree_bytes, block_bytes = HEADER.unpack(read_exactly(stream, HEADER.size))
    tree = json.loads(read_exactly(stream, tree_bytes))
    arrays = load(read_exactly(stream, block_bytes)) if block_bytes else {}
    return dict(unpack(tree, arrays))


def read_exactly(stream: Readable, count: int) -> bytes:
    """Exactly `count` bytes."""
    content = stream.read(count)
    if len(content) != count:
        raise EOFError("the other process has closed the line")
    return content


def pack(value: object, arrays: Arrays) -> object:
    """Replace every array by its mark, and collect it."""
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.asarray(value, order="C")
        return {MARK: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): pack(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [pack(item, arrays) for item in value]
    return value


def unpack(value: object, arrays: Mapping[str, Array]) -> Any:
    """Put the arrays back."""
    if isinstance(value, dict):
        if value.keys() == {MARK}:
            return arrays[value[MARK]]
        return {key: unpack(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    return value
