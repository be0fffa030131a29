"""Resizing of learned positions to another number of patches, by each library's own bicubic rule.

The rules are PyTorch's: cubic convolution with a = -0.75 between four patches, clamped at the edge,
or, smoothed against aliasing, with a = -0.5 over as many patches as one of the new ones covers.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.grids import find_grid
from poc.shared.spec.networks.layers.tokens import PositionEmbedding
from poc.shared.spec.networks.network import Network

Grid = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """The rule of one library.

    Attributes:
        align_corners: True if the outer patches' centres stay in place.
        is_smooth: True if shrinking averages against aliasing.
        offset: Number that is added to the new size before the scale is computed, as in DINOv2.
    """

    align_corners: bool = False
    is_smooth: bool = False
    offset: float = 0.0


# torchvision's `interpolate_embeddings`; timm's `resample_abs_pos_embed`, and DINOv2 with registers
# in its own code and in transformers; DINOv2's own without; other classes of transformers.
CORNERS = Resizing(align_corners=True)
SMOOTH = Resizing(is_smooth=True)
SHIFTED = Resizing(offset=0.1)
BICUBIC = Resizing()


def find_position_node(network: Network) -> tuple[str, int, Grid] | None:
    """Find the name of the positions, the number of tokens before the patches, and their grid."""
    grid = find_grid(network.nodes)
    nodes = [n for n in network.nodes if isinstance(n.layer, PositionEmbedding)]
    if grid is None or not nodes:
        return None
    return nodes[0].name, nodes[0].output_shape[0] - grid[0] * grid[1], grid


def fit_positions(value: Array, num_prefix: int, grid: Grid, rule: Resizing) -> Array:
    """Resize published positions (1, T, C) to a grid of patches; the type stays.

    Positions of a number of tokens that is no square grid are returned unchanged. If the file has
    none for the tokens before the patches, those get zeros.
    """
    if value.ndim != 3 or len(value) != 1 or value.dtype.kind != "f":
        return value
    for prefix in dict.fromkeys((num_prefix, 0)):
        side = math.isqrt(max(value.shape[1] - prefix, 0))
        if side and side * side == value.shape[1] - prefix:
            patches = value[0, prefix:].reshape(side, side, -1)
            before = value[0, :prefix] if prefix else np.zeros((num_prefix, value.shape[2]))
            resized = patches if (side, side) == grid else resize(patches, grid, rule)
            tokens = np.concatenate([before, resized.reshape(-1, value.shape[2])])
            return tokens[None].astype(value.dtype)
    return value


def resize(patches: Array, grid: Grid, rule: Resizing) -> NDArray[np.float64]:
    """Resize a map of vectors (h, w, C) to (H, W, C), in float64."""
    rows, columns = (bicubic_matrix(patches.shape[axis], grid[axis], rule) for axis in (0, 1))
    resized: NDArray[np.float64] = np.einsum(
        "Hh,Ww,hwc->HWc", rows, columns, patches.astype(np.float64), optimize=True
    )
    return resized


def bicubic_matrix(in_size: int, out_size: int, rule: Resizing) -> NDArray[np.float64]:
    """Return the matrix (out_size, in_size) that resizes one axis."""
    if rule.is_smooth:
        return smooth_matrix(in_size, out_size)
    steps = np.arange(out_size)
    if rule.align_corners:
        places = steps * ((in_size - 1) / (out_size - 1) if out_size > 1 else 0.0)
    else:
        places = (steps + 0.5) * in_size / (out_size + rule.offset) - 0.5
    low = np.floor(places).astype(np.int64)
    matrix = np.zeros((out_size, in_size))
    for step in (-1, 0, 1, 2):
        taken = np.clip(low + step, 0, in_size - 1)
        # `add.at`, since at the edge several weights fall on the same patch.
        np.add.at(matrix, (steps, taken), cubic(places - (low + step), -0.75))
    return matrix


def smooth_matrix(in_size: int, out_size: int) -> NDArray[np.float64]:
    """Return the matrix (out_size, in_size) of a resize against aliasing: each row sums to 1."""
    scale = in_size / out_size
    stretch = max(scale, 1.0)
    centres = (np.arange(out_size) + 0.5) * scale
    distances = np.arange(in_size)[None] + 0.5 - centres[:, None]
    weights = cubic(distances / stretch, -0.5)
    matrix: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return matrix


def cubic(distances: NDArray[np.floating], a: float) -> NDArray[np.float64]:
    """Return Keys' cubic convolution kernel at these distances (…); it is 0 from 2 on."""
    x = np.abs(distances)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
