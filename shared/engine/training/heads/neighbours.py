"""The parameters of a nearest-neighbour classifier: features, one-hot labels, k as a place."""

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.layers.neighbours import NearestNeighbours

# Length of a vector of zeros, whose cosine with any other is 0.
SMALLEST = 1e-12


def fit_neighbours(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    k: int,
    layer: NearestNeighbours,
) -> Arrays:
    """Return the parameters of `NearestNeighbours`.

    Args:
        features: (N, F) of the training images.
        labels: (N,).
        k: Number of neighbours that vote.
        layer: The declared layer. For the cosine each vector is stored with length 1.
    """
    stored = features.astype(np.float64)
    if layer.metric == "cosine":
        lengths = np.sqrt((stored * stored).sum(axis=1, keepdims=True))
        stored = stored / np.maximum(lengths, SMALLEST)
    return {
        "features": stored,
        "rank": np.eye(layer.most_neighbours)[k - 1],
        "labels": np.eye(layer.units)[labels],
    }
