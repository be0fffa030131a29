"""Outliers and near copies by the embedding of a network: each image against its neighbours."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.gallery.neighbours import normalise
from poc.shared.data.likeness.near_copies import Pairs

NUM_NEIGHBOURS = 10
# An outlier's distance is above the upper quartile by more than this many distances of the
# quartiles: Tukey's fence, on a logarithmic scale, since distances have a long tail.
NUM_SPREADS = 1.5
# Near copies are this much nearer than an image is to its nearest neighbour in the median.
COPY_SHARE = 0.1
# Distances that are held at a time.
BLOCK_VALUES = 1 << 22
TINY = 1e-12

Distances = NDArray[np.float64]


class Neighbourhood(NamedTuple):
    """The nearest neighbours of n images.

    Attributes:
        places: (n, k) int64 positions, the nearest first.
        distances: (n, k) cosine distances, from 0 to 2.
    """

    places: NDArray[np.int64]
    distances: Distances


class Outliers(NamedTuple):
    """Images that are far from all others: places and mean distances; `limit` is the fence."""

    places: list[int]
    distances: list[float]
    limit: float


def find_neighbourhood(features: NDArray[np.floating]) -> Neighbourhood:
    """Find the nearest neighbours of each image among all others, block by block.

    Args:
        features: (n, F) embeddings, n >= 2.
    """
    count = len(features)
    directions = normalise(features)
    num_neighbours = min(NUM_NEIGHBOURS, count - 1)
    places, distances = [], []
    num_rows = max(BLOCK_VALUES // count, 1)
    for top in range(0, count, num_rows):
        block = 1.0 - directions[top : top + num_rows] @ directions.T
        own = np.arange(len(block))
        block[own, top + own] = np.inf
        nearest = np.argpartition(block, num_neighbours - 1, axis=1)[:, :num_neighbours]
        found = np.take_along_axis(block, nearest, axis=1)
        # Ties go to the first image, so that equal data give equal neighbours.
        order = np.lexsort((nearest, found), axis=1)
        places.append(np.take_along_axis(nearest, order, axis=1))
        distances.append(np.maximum(np.take_along_axis(found, order, axis=1), 0.0))
    return Neighbourhood(np.concatenate(places).astype(np.int64), np.concatenate(distances))


def find_outliers(near: Neighbourhood) -> Outliers:
    """Find the images whose mean distance to their neighbours is beyond the fence, in order."""
    means = near.distances.mean(axis=1)
    logs = np.log(np.maximum(means, TINY))
    lower, upper = np.quantile(logs, [0.25, 0.75])
    limit = math.exp(upper + NUM_SPREADS * (upper - lower))
    chosen = np.flatnonzero(means > limit)
    order = chosen[np.argsort(-means[chosen], kind="stable")]
    return Outliers(order.tolist(), means[order].tolist(), limit)


def copy_limit(near: Neighbourhood) -> float:
    """Return the cosine distance up to which two images are near copies."""
    return COPY_SHARE * float(np.median(near.distances[:, 0]))


def near_copies(near: Neighbourhood) -> Iterator[Pairs]:
    """Yield the pairs of images whose embeddings are near copies, once each."""
    rows, columns = np.nonzero(near.distances <= copy_limit(near))
    other = near.places[rows, columns]
    first, second = np.minimum(rows, other), np.maximum(rows, other)
    yield Pairs(first, second, near.distances[rows, columns])
