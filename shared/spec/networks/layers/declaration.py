"""What a layer's declaration is: named parameters, their first values, and shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

Shape = tuple[int, ...]

Activation = Literal["relu", "relu6", "swish", "sigmoid", "softmax", "tanh"]


@dataclass(frozen=True, kw_only=True)
class Initializer:
    """A named distribution; `spec.initializers` draws from it.

    Fans are those of the kernel that the parameter belongs to; `scale` is the constant value, the
    standard deviation or the variance scale, as the distribution's own entry says.
    """

    distribution: str
    fan_in: int = 0
    fan_out: int = 0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One named array of a network, in canonical layout: kernels HWIO, dense (in, out).

    `weight_decay` is the coupled L2 coefficient that the layer itself asks for (gradient
    `weight_decay * value`); a Keras regulariser L2(a) is `weight_decay = 2 * a`. `rate_factor`
    multiplies the learning rate of this parameter alone.
    """

    name: str
    shape: Shape
    initializer: Initializer
    is_trainable: bool = True
    weight_decay: float = 0.0
    rate_factor: float = 1.0

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


ZEROS = Initializer(distribution="constant", scale=0.0)

ONES = Initializer(distribution="constant", scale=1.0)


class Layer(Protocol):
    """What every declaration offers; `inputs` are the shapes of its inputs, batch left out."""

    kind: ClassVar[str]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the output."""

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Parameters under names relative to the layer."""

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Multiply-adds for one image."""

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """What both trees' classes of this kind are made with, by keyword."""


class Stateless:
    """Mix-in of the layers without parameters, whose arithmetic is not counted as multiply-adds."""

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """No parameters."""
        return ()

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Zero by convention: only convolutions and dense layers are counted."""
        return 0

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Nothing."""
        return {}


class Elementwise(Stateless):
    """Mix-in of the layers whose output has the shape of their first input."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The input's shape."""
        return inputs[0]


def kernel_initializer(distribution: str, shape: Shape) -> Initializer:
    """Name a distribution with the fans of a kernel of this shape (receptive field x channels)."""
    receptive_field = math.prod(shape[:-2])
    return Initializer(
        distribution=distribution,
        fan_in=receptive_field * shape[-2],
        fan_out=receptive_field * shape[-1],
    )


def bias_parameter(
    name: str, units: int, distribution: str = "zeros", kernel_shape: Shape = ()
) -> Parameter:
    """A bias of this many units.

    "glorot_uniform" uses the bias's own length as both fans (the published LightLayers accident);
    any other random distribution uses the fans of the kernel that the bias belongs to.
    """
    if distribution == "zeros":
        initializer = ZEROS
    elif distribution == "glorot_uniform":
        initializer = Initializer(distribution=distribution, fan_in=units, fan_out=units)
    else:
        initializer = kernel_initializer(distribution, kernel_shape)
    return Parameter(name=name, shape=(units,), initializer=initializer)


def prefixed(prefix: str, parameter: Parameter) -> Parameter:
    """The same parameter under `prefix/name`."""
    return replace(parameter, name=f"{prefix}/{parameter.name}")
