"""Declarations of the two LightLayers (arXiv 2101.02268)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .convolution import Conv2D
from .declaration import Activation, Parameter, Shape, bias_parameter, kernel_initializer, prefixed
from .dense import vector_size
from .window import Window


@dataclass(frozen=True, kw_only=True)
class LightConv2D(Window):
    """Two convolutions through a bottleneck of `rank` channels (LightLayers, arXiv 2101.02268).

    z = inner_activation(conv(x, W1) + b1), y = activation(conv(z, W2) + b2). Only the first
    convolution has the strides. `strides_in="both"` is the published code, in which stride 2 leaves
    a quarter of each side. `bias_initializer="reference"` draws Glorot-uniform biases, as that code
    does by accident. `kernel_l2` is the Keras-style coefficient a of a * sum(w^2).
    """

    kind: ClassVar[str] = "light_conv2d"
    filters: int
    rank: int
    activation: Activation | None = None
    inner_activation: Activation | None = "relu"
    bias_initializer: Literal["zeros", "reference"] = "zeros"
    kernel_l2: float = 1e-4
    strides_in: Literal["first", "both"] = "first"

    @property
    def inner_strides(self) -> tuple[int, int]:
        """Return the strides of the second convolution."""
        return self.strides if self.strides_in == "both" else (1, 1)

    def convolutions(self) -> tuple[Conv2D, Conv2D]:
        """Declare the two ordinary convolutions of the layer."""
        distribution = "glorot_uniform" if self.bias_initializer == "reference" else "zeros"

        def convolution(
            filters: int, strides: tuple[int, int], activation: Activation | None
        ) -> Conv2D:
            return Conv2D(
                filters=filters,
                kernel_size=self.kernel_size,
                strides=strides,
                padding=self.padding,
                activation=activation,
                bias_initializer=distribution,
                kernel_weight_decay=2 * self.kernel_l2,
            )

        return (
            convolution(self.rank, self.strides, self.inner_activation),
            convolution(self.filters, self.inner_strides, self.activation),
        )

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', filters)."""
        reduce, expand = self.convolutions()
        return expand.output_shape([reduce.output_shape(inputs)])

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare reduce/kernel, reduce/bias, expand/kernel and expand/bias.

        Kernels are (kh, kw, in, rank) and (kh, kw, rank, filters), biases (rank,) and (filters,).
        """
        reduce, expand = self.convolutions()
        middle = [reduce.output_shape(inputs)]
        return (
            *(prefixed("reduce", parameter) for parameter in reduce.parameters(inputs)),
            *(prefixed("expand", parameter) for parameter in expand.parameters(middle)),
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds of both convolutions."""
        reduce, expand = self.convolutions()
        return reduce.macs(inputs) + expand.macs([reduce.output_shape(inputs)])

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Return the number of values of both kernels at positions that meet only padding."""
        reduce, expand = self.convolutions()
        middle = [reduce.output_shape(inputs)]
        return reduce.dead_parameters(inputs) + expand.dead_parameters(middle)

    def inner_constants(self, inputs: Sequence[Shape]) -> tuple[str, ...]:
        """Return the inner biases that add one constant to each channel of the output.

        The first bias does if no activation follows it and no padding, whose zeros it cannot shift.
        """
        reduce, expand = self.convolutions()
        is_padded = expand.pads(reduce.output_shape(inputs)) != ((0, 0), (0, 0))
        return () if self.inner_activation or is_padded else ("reduce/bias",)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        reduce, expand = self.convolutions()
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.filters,
            "kernel_size": self.kernel_size,
            "rank": self.rank,
            "strides": self.strides,
            "pads": reduce.pads(inputs[0]),
            "inner_strides": self.inner_strides,
            "inner_pads": expand.pads(reduce.output_shape(inputs)),
            "inner_activation": self.inner_activation,
            "activation": self.activation,
        }


@dataclass(frozen=True, kw_only=True)
class LightDense:
    """A dense layer y = activation((x @ (W1 * s)) @ (W2 * s) + bias) through a bottleneck.

    s is 1, or sqrt(2 / units) with `scale="reference"`: the published code's factor, which starves
    heads of many classes (docs/methods/lightlayers.md).
    """

    kind: ClassVar[str] = "light_dense"
    units: int
    rank: int = 8
    activation: Activation | None = None
    scale: Literal["none", "reference"] = "none"

    @property
    def factor(self) -> float:
        """Return s of the formula."""
        return math.sqrt(2 / self.units) if self.scale == "reference" else 1.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (units,)."""
        vector_size(inputs[0])
        return (self.units,)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare reduce/kernel (in, rank), expand/kernel (rank, units), expand/bias (units,)."""
        first, second = (vector_size(inputs[0]), self.rank), (self.rank, self.units)
        return (
            Parameter(
                name="reduce/kernel",
                shape=first,
                initializer=kernel_initializer("glorot_uniform", first),
            ),
            Parameter(
                name="expand/kernel",
                shape=second,
                initializer=kernel_initializer("glorot_uniform", second),
            ),
            bias_parameter("expand/bias", self.units),
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds of both products."""
        return self.rank * (vector_size(inputs[0]) + self.units)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.units,
            "rank": self.rank,
            "factor": self.factor,
            "activation": self.activation,
        }
