"""Layers of vectors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Activation, Parameter, Shape, Stateless, bias_parameter, kernel_initializer


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Affine map of a vector (C,) to (units,), then an optional activation."""

    kind: ClassVar[str] = "dense"
    units: int
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(units,)."""
        vector_size(inputs[0])
        return (self.units,)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Kernel (in, out), and bias if any."""
        shape = (vector_size(inputs[0]), self.units)
        kernel = Parameter(
            name="kernel", shape=shape, initializer=kernel_initializer(self.initializer, shape)
        )
        if not self.use_bias:
            return (kernel,)
        return kernel, bias_parameter("bias", self.units, self.bias_initializer, shape)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """In x out."""
        return vector_size(inputs[0]) * self.units

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "in_channels": inputs[0][-1],
            "out_channels": self.units,
            "use_bias": self.use_bias,
            "activation": self.activation,
        }


@dataclass(frozen=True, kw_only=True)
class Flatten(Stateless):
    """(H, W, C) -> (H * W * C,), channels fastest."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H * W * C,)."""
        return (math.prod(inputs[0]),)


def vector_size(shape: Shape) -> int:
    """Length of a (C,) input; a map is refused."""
    if len(shape) != 1:
        raise UsageError(
            f"received a map of shape {shape} for a dense layer; allowed is a vector: pool or "
            "flatten it first"
        )
    return shape[0]
