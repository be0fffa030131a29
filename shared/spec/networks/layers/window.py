"""The geometry of convolutions and pools."""

import math
from dataclasses import dataclass
from typing import Literal

from poc.shared.errors import UsageError

from .declaration import Shape

Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))

Padding = Literal["same", "valid"] | Pads


def same_pads(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the pads (before, after) of TensorFlow's "same" rule for one axis.

    An odd pixel goes after.
    """
    output_size = -(-size // stride)
    total = max((output_size - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True, kw_only=True)
class Window:
    """The size, the strides and the padding of a window that passes over a map."""

    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "same"

    def pads(self, shape: Shape) -> Pads:
        """Return the pads ((top, bottom), (left, right)) for an input of the shape (H, W, C)."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "same":
            vertical, horizontal = (
                same_pads(shape[axis], self.kernel_size[axis], self.strides[axis])
                for axis in (0, 1)
            )
            return vertical, horizontal
        return self.padding

    def spatial_shape(self, shape: Shape) -> tuple[int, int]:
        """Return (H', W') of the output for an input of the shape (H, W, C).

        Raises:
            UsageError: The input is not a map, or smaller than the window.
        """
        if len(shape) != 3:
            raise UsageError(
                f"Got an input of shape {shape} for a window. Expected (height, width, channels). "
                "Try a layer for vectors, or a map."
            )
        pads = self.pads(shape)
        height, width = (
            (shape[axis] + sum(pads[axis]) - self.kernel_size[axis]) // self.strides[axis] + 1
            for axis in (0, 1)
        )
        if min(height, width) < 1:
            raise UsageError(
                f"Got a {shape[0]}x{shape[1]} map for a {self.kernel_size[0]}x"
                f"{self.kernel_size[1]} window, which leaves nothing. Expected a map at least as "
                "large as the window. Try larger images: data.image_size, or train_size and "
                "test_size of fixres."
            )
        return height, width

    def live_positions(self, shape: Shape) -> int:
        """Return how many of the window's positions meet a pixel of an (H, W, C) input."""
        pads = self.pads(shape)
        counts = [
            sum(
                any(
                    pads[axis][0] <= step * self.strides[axis] + place < pads[axis][0] + shape[axis]
                    for step in range(steps)
                )
                for place in range(self.kernel_size[axis])
            )
            for axis, steps in enumerate(self.spatial_shape(shape))
        ]
        return math.prod(counts)

    def dead_positions(self, shape: Shape) -> int:
        """Return how many of the window's positions meet only padding."""
        return math.prod(self.kernel_size) - self.live_positions(shape)
