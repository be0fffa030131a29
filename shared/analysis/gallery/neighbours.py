"""The training image that is nearest to a test image, in the embedding of a run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .thumbnails import Thumbnail

Features = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training image: its id, its class or labels, and the cosine of both embeddings."""

    id: str
    truth: str
    similarity: float
    thumbnail: Thumbnail | None = None


FindNeighbours = Callable[[Path, Sequence[str]], Mapping[str, Neighbour]]
"""Run folder and ids of test images -> the neighbour of each; raises what a worker does."""


def find_nearest(
    queries: Features, batches: Iterable[Features]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest row for each query, by the cosine; of equal ones the first.

    Args:
        queries: (Q, F) embeddings.
        batches: Embeddings (k, F) of the rows that are searched, in their order; only one batch is
            held at a time.

    Returns:
        (Q,) positions among all rows, and (Q,) cosines; -1 and -inf without rows.
    """
    directions = normalise(queries)
    places = np.full(len(queries), -1, dtype=np.int64)
    best, start = np.full(len(queries), -np.inf), 0
    for batch in batches:
        cosines = directions @ normalise(batch).T
        own = cosines.argmax(axis=1)
        found = cosines[np.arange(len(queries)), own]
        is_nearer = found > best
        places[is_nearer], best[is_nearer] = start + own[is_nearer], found[is_nearer]
        start += len(batch)
    return places, best


def normalise(features: Features) -> NDArray[np.float64]:
    """Return the directions (N, F) of embeddings; one without a length stays zero."""
    values = features.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0))
