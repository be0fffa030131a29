"""Near copies: all pairs of hashes that differ in few bits, joined to groups.

Every pair is compared, block by block, so that nothing is missed and memory does not grow with the
square of the images.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .hashing import NUM_BITS, Hashes

# Bits of 255 that near copies may differ in. Of pictures below 64 pixels, fewer: they have less
# detail to tell them from others. docs/suspects.md has the measurement.
MAX_BITS, MAX_BITS_SMALL, SMALL_SIDE = 40, 24, 64
# Rows and columns of a block of compared pairs.
BLOCK_ROWS, BLOCK_COLUMNS = 512, 8192


class Pairs(NamedTuple):
    """k pairs: `first` and `second` (k,) int64 positions, first < second; `distances` (k,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distances: NDArray[np.float64]


class Groups(NamedTuple):
    """Groups of images that are joined by pairs, and the smallest distance in each."""

    members: list[list[int]]
    distances: list[float]


def near_pairs(hashes: Hashes) -> Iterator[Pairs]:
    """Yield all pairs of near copies, block by block; blank pictures are in none."""
    limits = np.where(hashes.shorter_sides < SMALL_SIDE, MAX_BITS_SMALL, MAX_BITS)
    limits = np.where(hashes.is_blank, -1, limits)
    count = len(limits)
    for top in range(0, count, BLOCK_ROWS):
        rows = unpack(hashes.bits[top : top + BLOCK_ROWS])
        for left in range(top, count, BLOCK_COLUMNS):
            columns = unpack(hashes.bits[left : left + BLOCK_COLUMNS])
            # Of bits as -1 and 1, the product is the equal ones less the different ones: whole
            # numbers far below 2**24, which float32 holds exactly.
            distances = (NUM_BITS - rows @ columns.T) / 2
            allowed = np.minimum.outer(
                limits[top : top + BLOCK_ROWS], limits[left : left + BLOCK_COLUMNS]
            )
            first, second = np.nonzero(distances <= allowed)
            is_once = first + top < second + left
            first, second = first[is_once], second[is_once]
            yield Pairs(first + top, second + left, distances[first, second].astype(np.float64))


def unpack(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return packed bits (n, 32) as (n, 255) float32, -1 and 1."""
    return np.unpackbits(bits, axis=1, count=NUM_BITS).astype(np.float32) * 2 - 1


def join(pairs: Iterable[Pairs], count: int) -> Groups:
    """Join pairs to groups: whatever is connected by pairs is one group.

    Args:
        pairs: Pairs of positions below `count`; they are consumed one block at a time.
        count: Number of images.
    """
    roots = np.arange(count)
    nearest = np.full(count, np.inf)
    for block in pairs:
        if len(block.first):
            roots = merge(roots, block)
            np.minimum.at(nearest, block.first, block.distances)
            np.minimum.at(nearest, block.second, block.distances)
    joined = np.flatnonzero(np.isfinite(nearest))
    found: dict[int, list[int]] = {}
    for index in joined.tolist():
        found.setdefault(int(roots[index]), []).append(index)
    members = sorted(found.values(), key=lambda own: (nearest[own].min(), own))
    return Groups(members, [float(nearest[own].min()) for own in members])


def merge(roots: NDArray[np.int64], block: Pairs) -> NDArray[np.int64]:
    """Return the group of each image, (n,) numbers, after the pairs of a block are joined."""
    count = len(roots)
    first = np.concatenate([roots[block.first], np.arange(count)])
    second = np.concatenate([roots[block.second], roots])
    links = coo_array((np.ones(len(first), dtype=np.bool_), (first, second)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)
