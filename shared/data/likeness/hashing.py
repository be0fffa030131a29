"""Perceptual hashes: bits that hardly change if a picture is stored again or resized.

The grey picture is shrunk to 64 x 64. Of its cosine transform, the 16 x 16 lowest frequencies
without the mean are compared with their median: 255 bits. This is the pHash of the literature with
more bits, which tells more pictures apart.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from poc.shared.data.sources.base import Source
from poc.shared.machine import count_cpus

SIDE, NUM_FREQUENCIES = 64, 16
NUM_BITS = NUM_FREQUENCIES**2 - 1
# Grey levels (standard deviation of the shrunk picture) below which there is nothing to compare.
MIN_CONTRAST = 1.0
# Pictures that wait decoded, so that memory stays flat.
NUM_WAITING = 64

Bits = NDArray[np.bool_]


class Hashes(NamedTuple):
    """Hashes of n pictures.

    Attributes:
        bits: (n, 32) uint8, the packed bits.
        is_blank: (n,) bool, True for pictures without contrast, whose bits say nothing.
        shorter_sides: (n,) int64 pixels.
    """

    bits: NDArray[np.uint8]
    is_blank: NDArray[np.bool_]
    shorter_sides: NDArray[np.int64]


def hash_picture(picture: Image.Image) -> Bits | None:
    """Return the hash of a picture, (255,) bool; None if it has no contrast.

    Args:
        picture: Of mode `L` or `RGB`.
    """
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float64)
    if pixels.std() < MIN_CONTRAST:
        return None
    waves = dctn(pixels, norm="ortho")[:NUM_FREQUENCIES, :NUM_FREQUENCIES].ravel()[1:]
    return np.asarray(waves > np.median(waves))


def hash_images(source: Source, indices: Sequence[int], told: Callable[[int], None]) -> Hashes:
    """Return the hashes of images, decoded in threads.

    Args:
        source: Gives the pictures.
        indices: n positions in it.
        told: Called with the number of pictures so far.
    """
    bits = np.zeros((len(indices), NUM_BITS), dtype=np.bool_)
    is_blank = np.zeros(len(indices), dtype=np.bool_)
    sides = np.zeros(len(indices), dtype=np.int64)
    for place, (found, side) in enumerate(in_threads(source, indices)):
        is_blank[place], sides[place] = found is None, side
        if found is not None:
            bits[place] = found
        told(place + 1)
    return Hashes(np.packbits(bits, axis=1), is_blank, sides)


def in_threads(source: Source, indices: Sequence[int]) -> Iterator[tuple[Bits | None, int]]:
    """Yield the hash, (255,) bool, and the shorter side of each image; few are held at a time."""

    def look(index: int) -> tuple[Bits | None, int]:
        picture = source.picture(index)
        return hash_picture(picture), min(picture.size)

    remaining = iter(indices)
    with ThreadPoolExecutor(count_cpus(), thread_name_prefix="hash") as pool:
        waiting: deque[Future[tuple[Bits | None, int]]] = deque(
            pool.submit(look, int(index)) for index in islice(remaining, NUM_WAITING)
        )
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(look, int(index)) for index in islice(remaining, 1))
        finally:
            # After an interruption, nobody waits for what was not begun.
            pool.shutdown(cancel_futures=True)
