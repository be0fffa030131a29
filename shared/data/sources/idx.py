"""`idx:PATH`: a folder of MNIST-style IDX files, plain or gzipped.

The format: a big-endian int32 magic number (2051 images, 2049 labels), one int32 a dimension, then
the bytes.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

from .arrays import ArraySource

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
FILE_PREFIXES = {"train": "train", "test": "t10k"}
MAX_SIDE_PIXELS = 4096
# Deflate cannot pack tighter than 1032:1, so a header that promises more is a lie and is refused
# before anything of that size is allocated.
MAX_EXPANSION = 1032
# Larger data belongs into a folder, which is read piece by piece.
MAX_BYTES = 8 << 30


def open_idx(name: str, folder: Path) -> ArraySource:
    """The train and test files of one folder; the test pair may be absent.

    Raises:
        UsageError: The folder or a file is missing, damaged or of an impossible shape.
    """
    if not folder.is_dir():
        raise UsageError(
            f"received {name!r}, but there is no folder {str(folder)!r}; allowed is a folder with "
            "train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz: correct the path"
        )
    parts = {"train": read_pair(folder, "train")}
    if any(folder.glob(f"{FILE_PREFIXES['test']}-*")):
        parts["test"] = read_pair(folder, "test")
    return ArraySource(name, parts)


def read_pair(folder: Path, partition: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, H, W) uint8 and labels (n,) int64 of `train` or `test`."""
    prefix = FILE_PREFIXES[partition]
    images = read_idx(find(folder, f"{prefix}-images-idx3-ubyte"), IMAGES_MAGIC)
    labels = read_idx(find(folder, f"{prefix}-labels-idx1-ubyte"), LABELS_MAGIC)
    return images, labels.astype(np.int64)


def find(folder: Path, file_name: str) -> Path:
    """The plain file, or its gzipped twin."""
    for path in (folder / file_name, folder / f"{file_name}.gz"):
        if path.is_file():
            return path
    raise UsageError(
        f"received the folder {str(folder)!r} without {file_name}; allowed is that file, plain or "
        ".gz: put it there or correct the path"
    )


def read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """One IDX file of bytes, shaped by its header.

    Raises:
        UsageError: Wrong magic number, impossible shape, or too few or too many bytes.
    """
    opener = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opener(path, "rb") as stream:
            shape = parse_header(path, stream.read(4 * (1 + magic % 256)), magic)
            # One byte more than promised, so that a file that is too long is noticed.
            content = stream.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(path, f"cannot be read ({error})") from None
    if len(content) != math.prod(shape):
        raise refusal(path, f"does not hold the {math.prod(shape)} bytes that {shape} needs")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def parse_header(path: Path, header: bytes, magic: int) -> tuple[int, ...]:
    """The dimensions, each at least 1 and together possible for a file of this size."""
    if len(header) < 4 or struct.unpack(">i", header[:4])[0] != magic:
        raise refusal(path, f"does not start with the magic number {magic}")
    if len(header) < 4 * (1 + magic % 256):
        raise refusal(path, "ends within its header")
    shape: tuple[int, ...] = struct.unpack(f">{magic % 256}i", header[4:])
    is_absurd = min(shape) < 1 or max(shape[1:], default=1) > MAX_SIDE_PIXELS
    if is_absurd or math.prod(shape) > min(MAX_BYTES, MAX_EXPANSION * path.stat().st_size):
        raise refusal(path, f"announces the impossible shape {shape}")
    return shape


def refusal(path: Path, reason: str) -> UsageError:
    """The one sentence for every damaged IDX file."""
    return UsageError(
        f"received {str(path)!r}, which {reason}; allowed is an undamaged IDX file of bytes: fetch "
        "it again"
    )
