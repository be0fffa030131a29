"""Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901): how much a covered part costs a class.

A patch of the picture's mean colour slides over it. The value of a place is the class's probability
for the picture, less that for the covered one; below 0, the covered part spoke against the class.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

# A patch is this part of the shorter side, and moves by half of itself, unless they are given.
PARTS_OF_A_SIDE = 7


@dataclass(frozen=True, kw_only=True)
class Patches:
    """Places of a square patch on a picture.

    Attributes:
        height, width: Pixels of the picture.
        patch: Side of the patch, in pixels.
        stride: Pixels between neighbouring places.
    """

    height: int
    width: int
    patch: int
    stride: int

    @property
    def rows(self) -> list[int]:
        """Return the first row of each place, the last place at the lower edge."""
        return list_starts(self.height, self.patch, self.stride)

    @property
    def columns(self) -> list[int]:
        """Return the first column of each place, the last place at the right edge."""
        return list_starts(self.width, self.patch, self.stride)

    def cover(self, image: NDArray[np.float32], batch_size: int) -> Iterator[NDArray[np.float32]]:
        """Yield the image (H, W, C) covered at each place, row by row: batches (k, H, W, C)."""
        places = [(row, column) for row in self.rows for column in self.columns]
        colour = image.mean(axis=(0, 1))
        for start in range(0, len(places), batch_size):
            batch = places[start : start + batch_size]
            covered = np.repeat(image[np.newaxis], len(batch), axis=0)
            for one, (row, column) in zip(covered, batch, strict=True):
                one[row : row + self.patch, column : column + self.patch] = colour
            yield covered

    def spread(self, drops: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each pixel's mean over the patches on it, (H, W), of values (rows, columns)."""
        total, count = (np.zeros((self.height, self.width)) for _ in range(2))
        for row, values in zip(self.rows, drops, strict=True):
            for column, value in zip(self.columns, values, strict=True):
                part = np.s_[row : row + self.patch, column : column + self.patch]
                total[part] += value
                count[part] += 1
        return total / count


def list_starts(side: int, patch: int, stride: int) -> list[int]:
    """List the first pixel of each place of a patch along a side, from edge to edge."""
    starts = list(range(0, side - patch + 1, stride))
    return starts if starts[-1] == side - patch else [*starts, side - patch]


def plan_patches(
    height: int, width: int, patch: int | None = None, stride: int | None = None
) -> Patches:
    """Plan the places on a picture of so many pixels.

    Args:
        height: Of the picture.
        width: Of the picture.
        patch: Side of the patch; None: a seventh of the shorter side.
        stride: Pixels between places; None: half of the patch.

    Raises:
        UsageError: The patch is larger than the picture, or leaves gaps.
    """
    side = min(height, width)
    if patch is None:
        patch = max(side // PARTS_OF_A_SIDE, 1)
    if not 1 <= patch <= side:
        raise UsageError(
            f"Got --patch {patch} for pictures of {height}x{width} pixels. Expected 1 to {side}. "
            f"Try {max(side // PARTS_OF_A_SIDE, 1)}, or leave it out."
        )
    if stride is None:
        stride = max(patch // 2, 1)
    if not 1 <= stride <= patch:
        raise UsageError(
            f"Got --stride {stride} with a patch of {patch} pixels. Expected 1 to {patch}, so that "
            f"each pixel is covered. Try {max(patch // 2, 1)}, or leave it out."
        )
    return Patches(height=height, width=width, patch=patch, stride=stride)
