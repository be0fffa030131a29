"""The parts of a layer's declaration: named parameters, their initial values, and shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

Shape = tuple[int, ...]

# `gelu` is exact, with the error function; `hard_sigmoid` is relu6(x + 3) / 6 (arXiv 1905.02244).
Activation = Literal[
    "relu",
    "relu6",
    "swish",
    "hard_swish",
    "gelu",
    "gelu_tanh",
    "sigmoid",
    "hard_sigmoid",
    "softmax",
    "tanh",
]


@dataclass(frozen=True, kw_only=True)
class Initializer:
    """A named distribution of initial values; `spec.networks.initializers` draws from it.

    `fan_in` and `fan_out` are those of the kernel to which the parameter belongs. `scale` is the
    constant, the standard deviation or the limit, depending on the distribution.
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
        """Return the number of values."""
        return math.prod(self.shape)


ZEROS = Initializer(distribution="constant", scale=0.0)

ONES = Initializer(distribution="constant", scale=1.0)

TORCH_DISTRIBUTIONS = ("torch_uniform", "kaiming_normal_fan_out", "kaiming_normal_fan_in")


class Layer(Protocol):
    """The interface of every declaration; `inputs` are the shapes of its inputs, without batch."""

    kind: ClassVar[str]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the output, without the batch."""

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Return the parameters, under names relative to the layer."""

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds for one image."""

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""


class Stateless:
    """A mix-in for layers without parameters, whose arithmetic does not count as multiply-adds."""

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Return no parameters."""
        return ()

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return 0: by convention only convolutions and dense layers count."""
        return 0

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return no arguments."""
        return {}


class Elementwise(Stateless):
    """A mix-in for layers whose output has the shape of their first input."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the first input."""
        return inputs[0]


def kernel_initializer(distribution: str, shape: Shape) -> Initializer:
    """Name a distribution with the fans of a kernel of this shape (receptive field x channels)."""
    receptive_field = math.prod(shape[:-2])
    return Initializer(
        distribution=distribution,
        fan_in=receptive_field * shape[-2],
        fan_out=receptive_field * shape[-1],
    )


def depthwise_initializer(distribution: str, shape: Shape) -> Initializer:
    """Name a distribution with the fans of a depthwise kernel (kh, kw, channels, 1).

    Keras counts all channels as inputs of one output. PyTorch, whose distributions are named in
    `TORCH_DISTRIBUTIONS`, stores (channels, 1, kh, kw): one input, and all channels as outputs.
    """
    *window, channels, outputs = shape
    if distribution in TORCH_DISTRIBUTIONS:
        shape = (*window, outputs, channels)
    return kernel_initializer(distribution, shape)


def bias_parameter(
    name: str, units: int, distribution: str = "zeros", kernel_shape: Shape = ()
) -> Parameter:
    """Declare a bias of the shape (units,).

    "glorot_uniform" uses the bias's own length as both fans, as the published LightLayers code does
    by accident. Other random distributions use the fans of the kernel to which the bias belongs.
    """
    if distribution == "zeros":
        initializer = ZEROS
    elif distribution == "glorot_uniform":
        initializer = Initializer(distribution=distribution, fan_in=units, fan_out=units)
    else:
        initializer = kernel_initializer(distribution, kernel_shape)
    return Parameter(name=name, shape=(units,), initializer=initializer)


def prefixed(prefix: str, parameter: Parameter) -> Parameter:
    """Return the same parameter under `prefix/name`."""
    return replace(parameter, name=f"{prefix}/{parameter.name}")
