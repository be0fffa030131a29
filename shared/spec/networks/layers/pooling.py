"""Pools over a window, and over the full map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .declaration import Shape, Stateless
from .window import Window


@dataclass(frozen=True, kw_only=True)
class Pool2D(Window, Stateless):
    """The maximum or the average over a window.

    `count_padding` decides if padded zeros count. An average counts them in torchvision and not in
    Keras; a maximum can be such a zero in Keras' ResNetV2.
    """

    kind: ClassVar[str] = "pool2d"
    mode: Literal["max", "average"] = "max"
    count_padding: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', C)."""
        return (*self.spatial_shape(inputs[0]), inputs[0][-1])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "mode": self.mode,
            "count_padding": self.count_padding,
        }


@dataclass(frozen=True, kw_only=True)
class GlobalPool(Stateless):
    """The mean or maximum over height and width: (H, W, C) -> (C,), or (1, 1, C)."""

    kind: ClassVar[str] = "global_pool"
    mode: Literal["average", "max"] = "average"
    keep_axes: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (C,), or (1, 1, C) with `keep_axes`."""
        channels = inputs[0][-1]
        return (1, 1, channels) if self.keep_axes else (channels,)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"mode": self.mode, "keep_axes": self.keep_axes}
