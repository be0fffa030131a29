"""`idx:PATH`: a folder of MNIST-style IDX files, plain or gzipped.

The format (https://yann.lecun.com/exdb/mnist/): a big-endian int32 magic number (2051 images, 2049
labels), one int32 per dimension, then the bytes.
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

# The last byte of a magic number is the number of dimensions: 2051 % 256 is 3, 2049 % 256 is 1.
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
FILE_PREFIXES = {"train": "train", "test": "t10k"}
MAX_SIDE_PIXELS = 4096
# Deflate cannot compress better than 1032:1 (https://zlib.net/zlib_tech.html). A header that
# promises more is wrong, and is refused before memory of that size is allocated.
MAX_EXPANSION = 1032
# Larger data belongs in a folder, which is read image by image.
MAX_BYTES = 8 << 30


def open_idx(name: str, folder: Path) -> ArraySource:
    """Open the train and test files of one folder; the test pair may be absent.

    Raises:
        UsageError: The folder or a file is missing, damaged or of an impossible shape.
    """
    if not folder.is_dir():
        raise UsageError(
            f"Got {name!r}, but there is no folder {str(folder)!r}. Expected a folder with "
            "train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz. Try correcting the "
            "path."
        )
    parts = {"train": read_pair(folder, "train")}
    if any(folder.glob(f"{FILE_PREFIXES['test']}-*")):
        parts["test"] = read_pair(folder, "test")
    return ArraySource(name, parts)


def read_pair(folder: Path, partition: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the images (n, H, W) uint8 and labels (n,) int64 of `train` or `test`."""
    prefix = FILE_PREFIXES[partition]
    images = read_idx(find(folder, f"{prefix}-images-idx3-ubyte"), IMAGES_MAGIC)
    labels = read_idx(find(folder, f"{prefix}-labels-idx1-ubyte"), LABELS_MAGIC)
    return images, labels.astype(np.int64)


def find(folder: Path, file_name: str) -> Path:
    """Return the path of the plain file or of its gzipped version.

    Raises:
        UsageError: Neither exists.
    """
    for path in (folder / file_name, folder / f"{file_name}.gz"):
        if path.is_file():
            return path
    raise UsageError(
        f"Got the folder {str(folder)!r} without {file_name}. Expected that file, plain or "
        ".gz. Try putting it there, or correct the path."
    )


def read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read one IDX file of bytes: uint8 of the shape in its header.

    Args:
        path: The file, plain or gzipped.
        magic: The number that it starts with; its last byte is the number of dimensions.

    Returns:
        Images (n, H, W) for `IMAGES_MAGIC`, labels (n,) for `LABELS_MAGIC`.

    Raises:
        UsageError: The magic number is wrong, the shape impossible, or bytes are missing or left.
    """
    opener = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opener(path, "rb") as stream:
            shape = parse_header(path, stream.read(4 * (1 + magic % 256)), magic)
            # One byte more than promised, so that a file that is too long is found.
            content = stream.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(path, f"cannot be read ({error})") from None
    if len(content) != math.prod(shape):
        raise refusal(path, f"does not hold the {math.prod(shape)} bytes that {shape} needs")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def parse_header(path: Path, header: bytes, magic: int) -> tuple[int, ...]:
    """Return the dimensions, each at least 1 and together possible for a file of this size.

    Raises:
        UsageError: The header is cut short or wrong.
    """
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
    """Return the error for a damaged IDX file."""
    return UsageError(
        f"Got {str(path)!r}, which {reason}. Expected an undamaged IDX file of bytes. Try fetching "
        "it again."
    )
