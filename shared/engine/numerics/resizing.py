"""Resizing as two constant matrices, shared by both backends.

A matrix product can be differentiated to any order, which TensorFlow's own resize cannot, and its
adjoint is the transpose.
"""

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.views.bilinear import nearest_pixels

Matrices = tuple[NDArray[np.float64], NDArray[np.float64]]


def resize_matrix(in_size: int, out_size: int) -> NDArray[np.float64]:
    """Return the matrix (out_size, in_size) that resizes one axis bilinearly.

    Half-pixel centres, no antialias: output i reads position (i + 0.5) * in / out - 0.5, clamped to
    the map, with weights 1 - f and f on its floor and the next pixel.
    """
    positions = (np.arange(out_size) + 0.5) * in_size / out_size - 0.5
    low, high, share = nearest_pixels(positions, in_size)
    matrix = np.zeros((out_size, in_size))
    rows = np.arange(out_size)
    # `add.at`, since at the edge both weights fall on the same pixel and must add up.
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix


def average_matrix(in_size: int, out_size: int) -> NDArray[np.float64]:
    """Return the matrix (out_size, in_size) of PyTorch's adaptive average pool along one axis.

    Output i is the mean of the pixels floor(i * in / out) to ceil((i + 1) * in / out), the last
    excluded; neighbouring bins may share pixels.
    """
    matrix = np.zeros((out_size, in_size))
    for row in range(out_size):
        # The double negation rounds up in integers, without the error of a float division.
        first, last = row * in_size // out_size, -(-(row + 1) * in_size // out_size)
        matrix[row, first:last] = 1 / (last - first)
    return matrix


def resize_matrices(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Matrices | None:
    """Return the bilinear matrices (out_h, in_h) and (out_w, in_w), or None for equal sizes."""
    if in_shape[:2] == out_shape[:2]:
        return None
    return resize_matrix(in_shape[0], out_shape[0]), resize_matrix(in_shape[1], out_shape[1])


def average_matrices(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Matrices | None:
    """Return the averaging matrices (out_h, in_h) and (out_w, in_w), or None for equal sizes.

    An axis that is smaller already keeps its size.
    """
    heights, widths = ((in_shape[axis], min(in_shape[axis], out_shape[axis])) for axis in (0, 1))
    if heights[0] == heights[1] and widths[0] == widths[1]:
        return None
    return average_matrix(*heights), average_matrix(*widths)
