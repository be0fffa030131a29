"""Layer declarations: what each layer computes, as plain data.

A declaration knows the shape of its output, its parameters and its multiply-adds. It holds no
tensor; `tf_impl.layers` and `torch_impl.layers` hold one implementation of each kind. Shapes leave
the batch out: images and maps are (H, W, C), vectors are (C,).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

from poc.shared.errors import UsageError

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))
Padding = Literal["same", "valid"] | Pads
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
    `weight_decay * value`); a Keras regulariser L2(a) is `weight_decay = 2 * a`.
    """

    name: str
    shape: Shape
    initializer: Initializer
    is_trainable: bool = True
    weight_decay: float = 0.0

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


class Stateless:
    """Mix-in of the layers without parameters, whose arithmetic is not counted as multiply-adds."""

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """No parameters."""
        return ()

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Zero by convention: only convolutions and dense layers are counted."""
        return 0


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


def vector_size(shape: Shape) -> int:
    """Length of a (C,) input; a map is refused."""
    if len(shape) != 1:
        raise UsageError(
            f"received a map of shape {shape} for a dense layer; allowed is a vector: pool or "
            "flatten it first"
        )
    return shape[0]


def prefixed(prefix: str, parameter: Parameter) -> Parameter:
    """The same parameter under `prefix/name`."""
    return replace(parameter, name=f"{prefix}/{parameter.name}")


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


@dataclass(frozen=True, kw_only=True)
class Conv2D(Window):
    """Convolution, then an optional activation; `groups` splits the input channels."""

    kind: ClassVar[str] = "conv2d"
    filters: int
    groups: int = 1
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"
    bias_initializer: str = "zeros"
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
        return kernel, bias_parameter("bias", self.filters, self.bias_initializer, shape)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Output positions x kernel size."""
        return math.prod(self.spatial_shape(inputs[0])) * math.prod(self.kernel_shape(inputs))


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Window):
    """One filter for each input channel; the kernel is (kh, kw, channels, 1)."""

    kind: ClassVar[str] = "depthwise_conv2d"
    use_bias: bool = True
    activation: Activation | None = None
    initializer: str = "glorot_uniform"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', channels)."""
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


@dataclass(frozen=True, kw_only=True)
class SeparableConv2D(Window):
    """Depthwise convolution, then 1x1 convolution with one bias; nothing between them."""

    kind: ClassVar[str] = "separable_conv2d"
    filters: int
    activation: Activation | None = None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', filters)."""
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


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Elementwise):
    """Batch normalisation; `momentum` is the share of the running value that is kept.

    The running variance is Bessel-corrected in both backends (facts: parity, section 1).
    """

    kind: ClassVar[str] = "batch_norm"
    momentum: float = 0.99
    epsilon: float = 1e-3
    scale: bool = True
    center: bool = True

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """gamma, beta (where present), then the two running statistics."""
        shape = (inputs[0][-1],)
        gamma = (Parameter(name="gamma", shape=shape, initializer=ONES),) if self.scale else ()
        beta = (Parameter(name="beta", shape=shape, initializer=ZEROS),) if self.center else ()
        running = tuple(
            Parameter(name=name, shape=shape, initializer=initial, is_trainable=False)
            for name, initial in (("moving_mean", ZEROS), ("moving_variance", ONES))
        )
        return (*gamma, *beta, *running)


@dataclass(frozen=True, kw_only=True)
class Activate(Elementwise):
    """An activation that stands alone."""

    kind: ClassVar[str] = "activation"
    activation: Activation


@dataclass(frozen=True, kw_only=True)
class Pool2D(Window, Stateless):
    """Maximum (padding never wins) or average over a window.

    `count_padding` says whether the average counts padded zeros (torchvision) or not (Keras).
    """

    kind: ClassVar[str] = "pool2d"
    mode: Literal["max", "average"] = "max"
    count_padding: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H', W', C)."""
        return (*self.spatial_shape(inputs[0]), inputs[0][-1])


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


@dataclass(frozen=True, kw_only=True)
class Flatten(Stateless):
    """(H, W, C) -> (H * W * C,), channels fastest."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H * W * C,)."""
        return (math.prod(inputs[0]),)


@dataclass(frozen=True, kw_only=True)
class Dropout(Elementwise):
    """Inverted dropout with a mask that `engine.noise` draws; spatial drops whole channels."""

    kind: ClassVar[str] = "dropout"
    rate: float
    is_spatial: bool = False

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of one example's mask."""
        shape = inputs[0]
        return (1,) * (len(shape) - 1) + shape[-1:] if self.is_spatial else shape


@dataclass(frozen=True, kw_only=True)
class Add(Elementwise):
    """Sum of its inputs, all of one shape."""

    kind: ClassVar[str] = "add"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape."""
        if len(set(inputs)) != 1:
            raise UsageError(f"received maps of shapes {list(inputs)} to add; allowed is one shape")
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Concatenate(Stateless):
    """Channels of its inputs, one after the other."""

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H, W, sum of channels)."""
        if len({shape[:-1] for shape in inputs}) != 1:
            raise UsageError(f"received maps {list(inputs)} to concatenate; sizes must agree")
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))


@dataclass(frozen=True, kw_only=True)
class Multiply(Elementwise):
    """First input times the second, whose height and width are 1: one factor for each channel."""

    kind: ClassVar[str] = "multiply"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the first input."""
        maps, factors = inputs
        if factors != (1, 1, maps[-1]):
            raise UsageError(
                f"received factors of shape {factors} for maps of shape {maps}; allowed is "
                f"{(1, 1, maps[-1])}"
            )
        return maps


@dataclass(frozen=True, kw_only=True)
class DropPath(Elementwise):
    """Zeroes a whole branch for one example at a time, and scales the others by 1 / (1 - rate).

    Drop-connect of EfficientNet, `StochasticDepth(mode="row")` of torchvision. `engine.noise` draws
    the mask; nothing is skipped, so it saves no time.
    """

    kind: ClassVar[str] = "drop_path"
    rate: float

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of one example's mask: a single value."""
        return (1,) * len(inputs[0])
