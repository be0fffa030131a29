"""npz files as data: every size is checked before memory of that size is allocated.

A zip file states how large its members become and an npy header states how large its array is; both
may be wrong. Nothing pickled is ever loaded.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from poc.shared.files.arrays import Array, Arrays

# For all arrays of a file together. Larger data belongs in a folder, which is read image by image.
MAX_BYTES = 8 << 30
# Deflate cannot compress better than 1032:1 (https://zlib.net/zlib_tech.html). A zip file reaches
# more only with members that share their bytes: a zip bomb.
MAX_EXPANSION = 1100
SUFFIX = ".npy"


def read_archive(path: Path) -> Arrays:
    """Read all arrays of an npz file completely: name -> array (…), of the stored shape.

    Raises:
        ValueError: The file is damaged, too large, or holds other than plain arrays; one line.
    """
    try:
        # A device or a pipe may never end.
        if path.exists() and not path.is_file():
            raise ValueError("no regular file")
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            check_sizes(archive, path.stat().st_size)
            return {
                member.filename.removesuffix(SUFFIX): read_member(archive, member)
                for member in archive.infolist()
            }
    except Exception as error:  # zipfile and NumPy raise almost anything on damaged files.
        text = str(error) or type(error).__name__
        raise ValueError(text.splitlines()[0]) from None


def check_sizes(archive: zipfile.ZipFile, file_bytes: int) -> None:
    """Refuse an archive that would fill the memory.

    Raises:
        ValueError: The members are too large, or two have one name.
    """
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise ValueError("two of its members have one name")
    total = sum(member.file_size for member in archive.infolist())
    if total > min(MAX_BYTES, MAX_EXPANSION * file_bytes):
        raise ValueError(f"it unpacks to {total:,} bytes from {file_bytes:,}")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Read one array (…), of the stored shape, if its header and its bytes agree.

    Raises:
        ValueError: They differ, or the member is no plain array.
    """
    with archive.open(member) as stream:
        # One byte more than the directory promised at most, whatever the compressed bytes hold.
        content = stream.read(member.file_size + 1)
    if len(content) > member.file_size or not member.filename.endswith(SUFFIX):
        raise ValueError(f"the member {member.filename!r} is no plain array")
    buffer = io.BytesIO(content)
    shape, dtype = read_header(buffer)
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or buffer.tell() + promised != len(content):
        raise ValueError(
            f"the member {member.filename!r} of {len(content):,} bytes promises {dtype} {shape}"
        )
    # NumPy allocates what the header promises, so it reads only after the check above.
    buffer.seek(0)
    array: Array = npy.read_array(buffer, allow_pickle=False)
    return array


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Read the shape and the type that an npy header promises."""
    version = npy.read_magic(stream)
    # The versions 2 and 3 have the same layout: a header length of 4 bytes instead of 2.
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype
