"""Bilinear resizing without antialias, as TensorFlow's `tf.image.resize` computes it by default."""

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Pixels

Floats = NDArray[np.float32] | NDArray[np.float64]


def nearest_pixels(
    positions: Floats, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the pixel below each position (k,), the next one, and the share of the next one.

    Args:
        positions: Positions on an axis, 0 at the centre of its first pixel.
        size: Pixels of that axis; positions outside of it are moved to its edge.
    """
    inside = positions.clip(0, size - 1)
    low = np.floor(inside).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), inside - low.astype(positions.dtype)


def resize_plainly(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize an image (h, w, C) uint8 to (H, W, C) uint8.

    Half-pixel centres; each output is a mean of the four pixels around its place, whatever the
    factor, so that shrinking leaves pixels out. The arithmetic is TensorFlow's, in float32 and by
    the width first. TensorFlow returns that number; here it is rounded to a grey level, as all
    images of a pipeline are.

    Args:
        pixels: The image.
        size: (H, W).
    """
    values: NDArray[np.generic] = pixels
    for axis in (1, 0):
        given, wanted = values.shape[axis], size[axis]
        centres = np.arange(wanted, dtype=np.float32) + np.float32(0.5)
        positions = centres * np.float32(given / wanted) - np.float32(0.5)
        low, high, share = nearest_pixels(positions, given)
        first = values.take(low, axis).astype(np.float32)
        second = values.take(high, axis).astype(np.float32)
        values = first + (second - first) * share.reshape((-1,) + (1,) * (2 - axis))
    rounded: Pixels = np.rint(values).astype(np.uint8)
    return rounded
