"""Decoded images: flat uint8 pixels and a table of shapes, in memory or memory-mapped from disk.

A cache file holds the pixels of all images one after the other, then the table of their shapes,
then a footer. It is written under another name, flushed to the disk and then renamed, so a
killed process leaves either the complete file or none.
"""

import math
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Pixels
from poc.shared.errors import UsageError
from poc.shared.files.whole import LEFTOVER, write_pieces

MAGIC = b"poc pixels 1\0\0\0\0"
FOOTER = struct.Struct("<QQ16s")
# A process that still writes has touched its file within this time.
SECONDS_BEFORE_LEFTOVER = 3600


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Decoded images with random access.

    Attributes:
        pixels: All pixels, flat uint8; may be memory-mapped.
        shapes: (k, 3) int64, (H, W, C) of each image.
        path: The mapped file; none: in memory.
    """

    pixels: Pixels
    shapes: NDArray[np.int64]
    path: Path | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """A mapped file goes to another process by its name, never as pixels."""
        if self.path is not None:
            return map_images, (self.path,)
        return type(self), (self.pixels, self.shapes)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(k + 1,) int64: where each image starts, and the end."""
        sizes = self.shapes.prod(axis=1)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    @cached_property
    def stacked(self) -> Pixels | None:
        """Return a view (k, H, W, C) of all pixels; None if the shapes differ."""
        if not len(self.shapes) or (self.shapes != self.shapes[0]).any():
            return None
        return self.pixels.reshape(len(self.shapes), *self.shapes[0])

    def gather(self, positions: Indices) -> Pixels | list[Pixels]:
        """Return the images (k, H, W, C) at positions (k,): a list unless all shapes agree."""
        if self.stacked is not None:
            return np.take(self.stacked, positions, axis=0)
        return [self.image(int(position)) for position in positions]

    def image(self, position: int) -> Pixels:
        """One image (H, W, C), a view."""
        start, end = self.starts[position], self.starts[position + 1]
        return self.pixels[start:end].reshape(self.shapes[position])

    @classmethod
    def from_images(cls, images: Iterable[Pixels], num_bytes: int) -> Self:
        """Copy images into one array of at least `num_bytes`, which grows where that was short."""
        pixels, shapes, used = np.empty(num_bytes, dtype=np.uint8), [], 0
        for image in images:
            end = used + image.size
            if end > len(pixels):
                pixels = np.concatenate([pixels, np.empty(max(end, 1 << 20), dtype=np.uint8)])
            pixels[used:end] = image.reshape(-1)
            shapes.append(image.shape)
            used = end
        return cls(pixels[:used], np.array(shapes, dtype=np.int64).reshape(-1, 3))

    @classmethod
    def write(cls, path: Path, images: Iterable[Pixels]) -> Self:
        """Write a cache file and map it.

        Raises:
            UsageError: The place cannot be written to, or is full.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path)
            write_pieces(path, cache_pieces(images))
        except OSError as error:
            raise UsageError(
                f"Got the cache folder {str(path.parent)!r}, which cannot take the decoded "
                f"images ({error.strerror}). Expected one with room. Try to set data.cache_folder "
                "or data.cache=off."
            ) from None
        return cls.map(path)

    @classmethod
    def map(cls, path: Path) -> Self:
        """Map a cache file; its pixels are read when they are asked for.

        Raises:
            ValueError: The file is not a complete cache.
        """
        length = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(max(length - FOOTER.size, 0))
            footer = stream.read()
            if len(footer) != FOOTER.size:
                raise ValueError("too short")
            count, num_bytes, magic = FOOTER.unpack(footer)
            if magic != MAGIC or num_bytes + 24 * count + FOOTER.size != length:
                raise ValueError("no footer of this format")
            stream.seek(num_bytes)
            shapes = np.frombuffer(stream.read(24 * count), dtype="<i8").reshape(count, 3)
        if int(shapes.prod(axis=1).sum()) != num_bytes:
            raise ValueError("shapes and pixels do not fit")
        empty = np.empty(0, dtype=np.uint8)
        pixels = np.memmap(path, np.uint8, "r", shape=(num_bytes,)) if num_bytes else empty
        return cls(pixels, shapes.astype(np.int64), path)


def map_images(path: Path) -> StoredImages:
    """`StoredImages.map` as a plain function, which every pickle finds by its name."""
    return StoredImages.map(path)


def cache_pieces(images: Iterable[Pixels]) -> Iterable[bytes | memoryview]:
    """Yield the parts of a cache file of images (H, W, C) uint8, in order."""
    shapes: list[Sequence[int]] = []
    for image in images:
        shapes.append(image.shape)
        yield np.ascontiguousarray(image).reshape(-1).data
    table = np.array(shapes, dtype="<i8").reshape(-1, 3)
    yield table.tobytes()
    yield FOOTER.pack(len(shapes), sum(math.prod(shape) for shape in shapes), MAGIC)


def remove_leftovers(path: Path) -> None:
    """Delete what a killed process left of this very cache."""
    for leftover in path.parent.glob(f"{LEFTOVER}{path.name}-*"):
        if time.time() - leftover.stat().st_mtime > SECONDS_BEFORE_LEFTOVER:
            leftover.unlink(missing_ok=True)
