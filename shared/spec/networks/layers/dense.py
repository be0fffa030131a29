"""Layers that take or give vectors: dense, which takes tokens too, and flatten."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Activation, Parameter, Shape, Stateless, bias_parameter, kernel_initializer
from .lora import Lora, adapt, kernel_values


@dataclass(frozen=True, kw_only=True)
class Dense:
    """An affine map from (C,) to (units,), then an optional activation; of tokens, each alone.

    `lora` adds a trained low-rank term to the kernel, which is then frozen.
    """

    kind: ClassVar[str] = "dense"
    units: int
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"
    lora: Lora | None = None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (units,), or (T, units) of tokens."""
        check_last_axis(inputs[0])
        return (*inputs[0][:-1], self.units)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the kernel (in, out), the bias (out,) if it is used, and those of `lora`."""
        shape = (inputs[0][-1], self.units)
        kernel = Parameter(
            name="kernel", shape=shape, initializer=kernel_initializer(self.initializer, shape)
        )
        if not self.use_bias:
            return adapt([kernel], self.lora)
        bias = bias_parameter("bias", self.units, self.bias_initializer, shape)
        return adapt([kernel, bias], self.lora)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the number of tokens times the values of all kernels."""
        return math.prod(inputs[0][:-1]) * kernel_values(self.parameters(inputs))

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.units,
            "use_bias": self.use_bias,
            "activation": self.activation,
            **(self.lora.arguments() if self.lora else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Flatten(Stateless):
    """A map (H, W, C) as a vector (H * W * C,); the channel changes fastest."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H * W * C,)."""
        return (math.prod(inputs[0]),)


def check_last_axis(shape: Shape) -> None:
    """Refuse a map as the input of a dense layer.

    Raises:
        UsageError: The input is neither a vector (C,) nor tokens (T, C).
    """
    if len(shape) not in (1, 2):
        raise UsageError(
            f"Got a map of shape {shape} for a dense layer. Expected a vector or tokens. Try a "
            "pool or a flatten layer first."
        )


def vector_size(shape: Shape) -> int:
    """Return the length of an input (C,).

    Raises:
        UsageError: The input is a map.
    """
    if len(shape) != 1:
        raise UsageError(
            f"Got a map of shape {shape} for a dense layer. Expected a vector. Try a pool or a "
            "flatten layer first."
        )
    return shape[0]
