"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): the parts of a map that speak for a class.

The weight of a channel is the mean gradient of the class's logit over the map. The map of the class
is the weighted sum of the channels, where it is positive.
"""

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.numerics.resizing import resize_matrix


def weigh_channels(gradients: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each channel's weight (N, c): the mean of the gradients (N, h, w, c) over the map."""
    weights: NDArray[np.float64] = gradients.mean(axis=(1, 2), dtype=np.float64)
    return weights


def class_maps(maps: NDArray[np.floating], gradients: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the positive part of the weighted sum of channels, (N, h, w).

    Args:
        maps: (N, h, w, c) values at a tap.
        gradients: (N, h, w, c) gradient of one logit of each image at it.
    """
    sums = np.einsum("nhwc,nc->nhw", maps.astype(np.float64), weigh_channels(gradients))
    positive: NDArray[np.float64] = np.maximum(sums, 0.0)
    return positive


def scale_to_one(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide each of the maps (N, h, w) by its largest value; a map of zeros stays zero."""
    largest = maps.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float64] = np.divide(
        maps, largest, out=np.zeros_like(maps), where=largest > 0
    )
    return scaled


def enlarge(one: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Resize a map (H, W) bilinearly to (height, width) pixels."""
    rows, columns = resize_matrix(one.shape[0], height), resize_matrix(one.shape[1], width)
    enlarged: NDArray[np.float64] = rows @ one @ columns.T
    return enlarged
