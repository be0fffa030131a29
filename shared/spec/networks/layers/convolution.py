"""Convolutions: plain or grouped, depthwise, separable, pointwise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import (
    Activation,
    Initializer,
    Parameter,
    Shape,
    bias_parameter,
    depthwise_initializer,
    kernel_initializer,
)
from .dense import Dense
from .lora import Lora, adapt, kernel_values
from .window import Window


@dataclass(frozen=True, kw_only=True)
class Conv2D(Window):
    """A convolution, then an optional activation; `groups` splits the input channels.

    `initial_bias` is the first value of every bias, for gates that begin closed. If it is 0,
    `bias_initializer` decides. `lora` adds a trained low-rank term to the kernel, which is then
    frozen.
    """

    kind: ClassVar[str] = "conv2d"
    filters: int
    groups: int = 1
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"
    initial_bias: float = 0.0
    kernel_weight_decay: float = 0.0
    lora: Lora | None = None

    def kernel_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (kh, kw, in / groups, out).

        Raises:
            UsageError: A number of channels is not a multiple of the number of groups.
        """
        in_channels = inputs[0][-1]
        if in_channels % self.groups or self.filters % self.groups:
            raise UsageError(
                f"Got {in_channels} input and {self.filters} output channels for {self.groups} "
                "groups. Expected multiples of the number of groups. Try other channels or groups."
            )
        return (*self.kernel_size, in_channels // self.groups, self.filters)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', filters)."""
        return (*self.spatial_shape(inputs[0]), self.filters)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the kernel (kh, kw, in / groups, out), the bias (out,) if used, and of `lora`."""
        shape = self.kernel_shape(inputs)
        kernel = Parameter(
            name="kernel",
            shape=shape,
            initializer=kernel_initializer(self.initializer, shape),
            weight_decay=self.kernel_weight_decay,
        )
        if not self.use_bias:
            return adapt([kernel], self.lora, self.groups)
        bias = bias_parameter("bias", self.filters, self.bias_initializer, shape)
        if self.initial_bias:
            start = Initializer(distribution="constant", scale=self.initial_bias)
            bias = replace(bias, initializer=start)
        return adapt([kernel, bias], self.lora, self.groups)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the number of output positions times the values of all kernels."""
        return math.prod(self.spatial_shape(inputs[0])) * kernel_values(self.parameters(inputs))

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Return the number of kernel values at positions that meet only padding."""
        return self.dead_positions(inputs[0]) * math.prod(self.kernel_shape(inputs)[2:])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "groups": self.groups,
            "use_bias": self.use_bias,
            "activation": self.activation,
            **(self.lora.arguments() if self.lora else {}),
        }


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Window):
    """A convolution with one filter per input channel, then an optional activation."""

    kind: ClassVar[str] = "depthwise_conv2d"
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', channels)."""
        check_equal_strides(self.strides)
        return (*self.spatial_shape(inputs[0]), inputs[0][-1])

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the kernel (kh, kw, channels, 1), and the bias (channels,) if it is used."""
        channels = inputs[0][-1]
        shape = (*self.kernel_size, channels, 1)
        kernel = Parameter(
            name="kernel", shape=shape, initializer=depthwise_initializer(self.initializer, shape)
        )
        return (kernel, bias_parameter("bias", channels)) if self.use_bias else (kernel,)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the number of output values times the window's size."""
        return math.prod(self.output_shape(inputs)) * math.prod(self.kernel_size)

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Return the number of kernel values at positions that meet only padding."""
        return self.dead_positions(inputs[0]) * inputs[0][-1]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "channels": inputs[0][-1],
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "use_bias": self.use_bias,
            "activation": self.activation,
        }


@dataclass(frozen=True, kw_only=True)
class SeparableConv2D(Window):
    """A depthwise convolution, directly followed by a 1x1 convolution with the only bias."""

    kind: ClassVar[str] = "separable_conv2d"
    filters: int
    activation: Activation | None = None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', filters)."""
        check_equal_strides(self.strides)
        return (*self.spatial_shape(inputs[0]), self.filters)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare kernels (kh, kw, in, 1) and (1, 1, in, out), and the bias (out,)."""
        channels = inputs[0][-1]
        depthwise, pointwise = (*self.kernel_size, channels, 1), (1, 1, channels, self.filters)
        return (
            Parameter(
                name="depthwise/kernel",
                shape=depthwise,
                initializer=kernel_initializer("glorot_uniform", depthwise),
            ),
            Parameter(
                name="pointwise/kernel",
                shape=pointwise,
                initializer=kernel_initializer("glorot_uniform", pointwise),
            ),
            bias_parameter("pointwise/bias", self.filters),
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds of both convolutions."""
        channels = inputs[0][-1]
        window = math.prod(self.kernel_size)
        return math.prod(self.spatial_shape(inputs[0])) * channels * (window + self.filters)

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Return the number of depthwise kernel values at positions that meet only padding."""
        return self.dead_positions(inputs[0]) * inputs[0][-1]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "activation": self.activation,
        }


@dataclass(frozen=True, kw_only=True)
class PointwiseConv2D(Dense):
    """A 1x1 convolution of maps (H, W, C) that is stored and computed as a dense layer.

    It has the form in which the libraries have it (arXiv 2201.03545, section 2.3).
    """

    kind: ClassVar[str] = "pointwise_conv2d"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H, W, units)."""
        return (*inputs[0][:-1], self.units)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the kernel (in, out), and the bias (out,) if it is used."""
        return super().parameters([inputs[0][-1:]])


def check_equal_strides(strides: tuple[int, int]) -> None:
    """Refuse unequal strides, for which TensorFlow has no depthwise convolution.

    Raises:
        UsageError: The strides differ.
    """
    if strides[0] != strides[1]:
        raise UsageError(
            f"Got strides={strides} for a depthwise convolution. Expected the same number twice. "
            f"Try strides=({strides[0]}, {strides[0]})."
        )
