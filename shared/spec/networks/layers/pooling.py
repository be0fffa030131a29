"""Pools over a window, and over the whole map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .declaration import Shape, Stateless
from .window import Window


@dataclass(frozen=True, kw_only=True)
class Pool2D(Window, Stateless):
    """Maximum or average over a window.

    `count_padding` says whether padded zeros take part. An average then counts them (torchvision)
    or not (Keras); a maximum may then be such a zero (Keras ResNetV2).
    """

    kind: ClassVar[str] = "pool2d"
    mode: Literal["max", "average"] = "max"
    count_padding: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', C)."""
        return (*self.spatial_shape(inputs[0]), inputs[0][-1])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "mode": self.mode,
            "count_padding": self.count_padding,
        }


@dataclass(frozen=True, kw_only=True)
class GlobalPool(Stateless):
    """Mean or maximum over height and width: (H, W, C) -> (C,), or (1, 1, C) with `keep_axes`."""

    kind: ClassVar[str] = "global_pool"
    mode: Literal["average", "max"] = "average"
    keep_axes: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(C,) or (1, 1, C)."""
        channels = inputs[0][-1]
        return (1, 1, channels) if self.keep_axes else (channels,)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {"mode": self.mode, "keep_axes": self.keep_axes}
