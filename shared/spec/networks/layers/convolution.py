"""Convolutions: plain or grouped, depthwise, separable."""

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
    kernel_initializer,
)
from .window import Window


@dataclass(frozen=True, kw_only=True)
class Conv2D(Window):
    """Convolution, then an optional activation; `groups` splits the input channels.

    `initial_bias` is where every bias starts, for the gates that begin closed.
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

    def kernel_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(kh, kw, in / groups, out)."""
        in_channels = inputs[0][-1]
        if in_channels % self.groups or self.filters % self.groups:
            raise UsageError(
                f"received {in_channels} input and {self.filters} output channels for "
                f"{self.groups} groups; both must be multiples of the number of groups"
            )
        return (*self.kernel_size, in_channels // self.groups, self.filters)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', filters)."""
        return (*self.spatial_shape(inputs[0]), self.filters)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Kernel, and bias if any."""
        shape = self.kernel_shape(inputs)
        kernel = Parameter(
            name="kernel",
            shape=shape,
            initializer=kernel_initializer(self.initializer, shape),
            weight_decay=self.kernel_weight_decay,
        )
        if not self.use_bias:
            return (kernel,)
        bias = bias_parameter("bias", self.filters, self.bias_initializer, shape)
        if self.initial_bias:
            start = Initializer(distribution="constant", scale=self.initial_bias)
            bias = replace(bias, initializer=start)
        return kernel, bias

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Output positions x kernel size."""
        return math.prod(self.spatial_shape(inputs[0])) * math.prod(self.kernel_shape(inputs))

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Values at the positions that meet nothing but padding."""
        return self.dead_positions(inputs[0]) * math.prod(self.kernel_shape(inputs)[2:])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "groups": self.groups,
            "use_bias": self.use_bias,
            "activation": self.activation,
        }


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Window):
    """One filter for each input channel; the kernel is (kh, kw, channels, 1)."""

    kind: ClassVar[str] = "depthwise_conv2d"
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', channels)."""
        check_equal_strides(self.strides)
        return (*self.spatial_shape(inputs[0]), inputs[0][-1])

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Kernel, and bias if any."""
        channels = inputs[0][-1]
        shape = (*self.kernel_size, channels, 1)
        kernel = Parameter(
            name="kernel", shape=shape, initializer=kernel_initializer(self.initializer, shape)
        )
        return (kernel, bias_parameter("bias", channels)) if self.use_bias else (kernel,)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Output values x window size."""
        return math.prod(self.output_shape(inputs)) * math.prod(self.kernel_size)

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Values at the positions that meet nothing but padding."""
        return self.dead_positions(inputs[0]) * inputs[0][-1]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
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
    """Depthwise convolution, then 1x1 convolution with one bias; nothing between them."""

    kind: ClassVar[str] = "separable_conv2d"
    filters: int
    activation: Activation | None = None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', filters)."""
        check_equal_strides(self.strides)
        return (*self.spatial_shape(inputs[0]), self.filters)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Depthwise kernel, pointwise kernel, bias."""
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
        """Both convolutions."""
        channels = inputs[0][-1]
        window = math.prod(self.kernel_size)
        return math.prod(self.spatial_shape(inputs[0])) * channels * (window + self.filters)

    def dead_parameters(self, inputs: Sequence[Shape]) -> int:
        """Values at the depthwise positions that meet nothing but padding."""
        return self.dead_positions(inputs[0]) * inputs[0][-1]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "pads": self.pads(inputs[0]),
            "activation": self.activation,
        }


def check_equal_strides(strides: tuple[int, int]) -> None:
    """Refuse what TensorFlow has no depthwise convolution for."""
    if strides[0] != strides[1]:
        raise UsageError(
            f"received the strides {strides} for a depthwise convolution; allowed is the same "
            "number twice: use one number"
        )
