"""Bilinear resize as two constant matrices, shared by both backends.

Half-pixel centres, no antialias: output i reads position (i + 0.5) * in / out - 0.5, clamped to the
map, with weights 1 - f and f on its floor and the next pixel. As matrix products it can be
differentiated to any order, which TensorFlow's own resize cannot, and its adjoint is the transpose.
"""

import numpy as np
from numpy.typing import NDArray


def resize_matrix(in_size: int, out_size: int) -> NDArray[np.float64]:
    """(out_size, in_size) matrix that resizes one axis."""
    positions = (np.arange(out_size) + 0.5) * in_size / out_size - 0.5
    positions = positions.clip(0, in_size - 1)
    low = np.floor(positions).astype(np.int64)
    high = np.minimum(low + 1, in_size - 1)
    share = positions - low
    matrix = np.zeros((out_size, in_size))
    rows = np.arange(out_size)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix


def resize_matrices(
    in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(rows, columns) that bring (H, W, …) to another size; none where it already has it."""
    if in_shape[:2] == out_shape[:2]:
        return None
    return resize_matrix(in_shape[0], out_shape[0]), resize_matrix(in_shape[1], out_shape[1])
