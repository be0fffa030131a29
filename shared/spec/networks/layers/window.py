"""The geometry that convolutions and pools share."""

import math
from dataclasses import dataclass
from typing import Literal

from poc.shared.errors import UsageError

from .declaration import Shape

Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))

Padding = Literal["same", "valid"] | Pads


def same_pads(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" rule for one axis: (before, after), the odd pixel after."""
    output_size = -(-size // stride)
    total = max((output_size - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True, kw_only=True)
class Window:
    """The geometry that convolutions and pools share."""

    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "same"

    def pads(self, shape: Shape) -> Pads:
        """Explicit ((top, bottom), (left, right)) for an (H, W, C) input of this shape."""
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
        """(H, W) after the window has passed over an (H, W, C) input."""
        if len(shape) != 3:
            raise UsageError(
                f"received a map of shape {shape}; allowed is (height, width, channels)"
            )
        pads = self.pads(shape)
        height, width = (
            (shape[axis] + sum(pads[axis]) - self.kernel_size[axis]) // self.strides[axis] + 1
            for axis in (0, 1)
        )
        if min(height, width) < 1:
            raise UsageError(
                f"received a {shape[0]}x{shape[1]} map for a {self.kernel_size[0]}x"
                f"{self.kernel_size[1]} window, which leaves nothing; use a larger input image"
            )
        return height, width

    def live_positions(self, shape: Shape) -> int:
        """Positions of the window that meet a pixel of an (H, W, C) input, not padding alone."""
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
        """Positions of the window that meet nothing but padding."""
        return math.prod(self.kernel_size) - self.live_positions(shape)
