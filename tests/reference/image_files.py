"""Image files put together byte by byte, with any tag, chunk or block that an encoder would not."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Types of TIFF and EXIF entries -> letter of `struct`.
LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d"}
SHORT, LONG = 3, 4


def pack(order, kind, values):
    return struct.pack(f"{order}{len(values)}{LETTERS[kind]}", *values)


def directory(entries, at, order="<", counts=None):
    """One directory of tags -> (type, values), as it lies at `at`; `counts` may lie."""
    place, heads, blob = at + 2 + 12 * len(entries) + 4, b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        content = pack(order, kind, values)
        if len(content) > 4:
            content, blob = struct.pack(f"{order}I", place + len(blob)), blob + content
        count = (counts or {}).get(tag, len(values))
        heads += struct.pack(f"{order}HHI", tag, kind, count) + content.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(entries)) + heads + bytes(4) + blob


def exif(entries, order="<", counts=None):
    """An EXIF block as JPEG, PNG and WebP hold it, without its six letters."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return head + directory(entries, 8, order, counts)


def tiff(pixels, photometric, *, order="<", deflate=False, planar=False, tags=None, counts=None):
    """A TIFF of one strip (or one a plane) of (H, W) or (H, W, C) unsigned pixels."""
    pixels = np.atleast_3d(pixels)
    height, width, channels = pixels.shape
    planes = np.split(pixels, channels, axis=2) if planar else [pixels]
    strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    entries = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8 * pixels.itemsize] * channels),
        259: (SHORT, [8 if deflate else 1]),
        262: (SHORT, [photometric]),
        277: (SHORT, [channels]),
        278: (LONG, [height]),
        279: (LONG, [len(strip) for strip in strips]),
        284: (SHORT, [2 if planar else 1]),
        **(tags or {}),
    }
    offsets = [0] * len(strips)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    start = 8 + len(directory({**entries, 273: (LONG, offsets)}, 8, order))
    offsets = [start + sum(map(len, strips[:index])) for index in range(len(strips))]
    return head + directory({**entries, 273: (LONG, offsets)}, 8, order, counts) + b"".join(strips)


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(pixels, colour_type, *, before=(), after=()):
    """A PNG of (H, W) or (H, W, C) pixels of 8 or 16 bits; chunks before and after the pixels."""
    pixels = np.atleast_3d(pixels)
    height, width = pixels.shape[:2]
    bits = 8 * pixels.itemsize
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour_type, 0, 0, 0)),
            *(chunk(*one) for one in before),
            chunk(b"IDAT", zlib.compress(rows)),
            *(chunk(*one) for one in after),
            chunk(b"IEND", b""),
        ]
    )


def jpeg(pixels, block=None, **options):
    """A JPEG with an EXIF block put in as it is."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    content = buffer.getvalue()
    if block is None:
        return content
    block = b"Exif\0\0" + block
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
