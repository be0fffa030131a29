"""Nets of the CIFAR form: three groups of narrow 3x3 blocks over images of about 32 pixels.

The residual net is that of the L2T-ww study (depth 32; names as its published weights have them):
the first convolution has a bias, a block that changes shape has a projection. Depth is 6n + 2.
The Highway net (arXiv 1505.00387) gates what the residual net adds.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.layers import Activate, BatchNorm, Conv2D, GlobalPool, Shape
from poc.shared.spec.network import Network, NetworkBuilder
from poc.shared.spec.residual_layers import Highway
from poc.shared.spec.settings import Settings

from .residual import BlockEnds, ResidualOptions
from .resnet import classifier, symmetric

NORM = BatchNorm(momentum=0.9, epsilon=1e-5)
RELU = Activate(activation="relu")
NUM_GROUPS = 3


class CifarResNetOptions(ResidualOptions):
    """Options of the CIFAR ResNet."""

    depth: int = Field(32, ge=8, description="layers: 6n + 2, so 20, 32, 44, 56, 110")
    width: int = Field(16, ge=1, description="channels of the first group")
    activation: Literal["post", "pre"] = Field(
        "post", description='"pre": norm and ReLU before each convolution, none after the sum'
    )

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        """Refuse a depth that makes no whole blocks."""
        if (self.depth - 2) % (2 * NUM_GROUPS):
            raise UsageError(
                f"received depth={self.depth}; allowed is 6n + 2, such as 20, 32 or 110: correct it"
            )
        return self

    @property
    def num_repeats(self) -> int:
        """Blocks of one group."""
        return (self.depth - 2) // (2 * NUM_GROUPS)


class HighwayOptions(Settings):
    """Options of the Highway net."""

    repeats: int = Field(3, ge=1, description="gated layers of each of the three groups")
    width: int = Field(16, ge=1, description="channels of the first group")
    gate_bias: float = Field(
        -2.0, description="where the gates' biases start; negative: they begin closed"
    )


def cifar_resnet(options: CifarResNetOptions, input_shape: Shape, num_classes: int) -> Network:
    """Convolution 3x3, three groups of basic blocks, global average pool, classifier.

    Tap `tap<i>` is the output of block i, counted from 0: the study uses 4, 9 and 14.
    """
    net = NetworkBuilder("cifar_resnet", input_shape)
    repeats = options.num_repeats
    ends = BlockEnds(net, options, NUM_GROUPS * repeats)
    net.add("conv1", convolution(options.width, use_bias=True))
    if options.activation == "post":
        net.add("bn1", NORM)
        net.add("relu1", RELU)
    for group in range(NUM_GROUPS):
        for index in range(repeats):
            name = f"blocks{2 * group + 2}/{index - 1}" if index else f"block{2 * group + 1}"
            strides = 2 if group and not index else 1
            add_block = add_post_block if options.activation == "post" else add_pre_block
            add_block(net, ends, name, options.width * 2**group, strides)
            net.tap(f"tap{group * repeats + index}")
    if options.activation == "pre":
        net.add("bn1", NORM)
        net.add("relu1", RELU)
    net.add("pool", GlobalPool())
    net.add("fc", classifier(num_classes))
    return net.build()


def add_post_block(
    net: NetworkBuilder, ends: BlockEnds, name: str, filters: int, strides: int
) -> None:
    """3x3, norm, ReLU, 3x3, norm; plus the shortcut; ReLU."""
    source = shortcut = net.latest
    if needs_projection(net, ends, filters, strides):
        net.add(f"{name}/downsample/0", convolution(filters, size=1, strides=strides))
        shortcut = net.add(f"{name}/downsample/1", NORM)
    first = net.add(f"{name}/conv1", convolution(filters, strides=strides), source)
    net.add(f"{name}/bn1", NORM)
    net.add(f"{name}/relu1", RELU)
    net.add(f"{name}/conv2", convolution(filters))
    net.add(f"{name}/bn2", NORM)
    ends.end(name, first, shortcut, is_identity=shortcut == source)
    net.add(f"{name}/relu2", RELU)


def add_pre_block(
    net: NetworkBuilder, ends: BlockEnds, name: str, filters: int, strides: int
) -> None:
    """Norm, ReLU, 3x3, norm, ReLU, 3x3; plus the shortcut.

    A projection reads the first ReLU's output.
    """
    source = shortcut = net.latest
    first = net.add(f"{name}/bn1", NORM)
    active = net.add(f"{name}/relu1", RELU)
    if needs_projection(net, ends, filters, strides):
        shortcut = net.add(
            f"{name}/downsample/0", convolution(filters, size=1, strides=strides), active
        )
        first = f"{name}/conv1"
    net.add(f"{name}/conv1", convolution(filters, strides=strides), active)
    net.add(f"{name}/bn2", NORM)
    net.add(f"{name}/relu2", RELU)
    net.add(f"{name}/conv2", convolution(filters))
    ends.end(name, first, shortcut, is_identity=shortcut == source)


def needs_projection(net: NetworkBuilder, ends: BlockEnds, filters: int, strides: int) -> bool:
    """Whether the shortcut exists and must change the shape."""
    changes = strides > 1 or net.shape(net.latest)[-1] != filters
    return changes and ends.options.shortcut == "residual"


def highway(options: HighwayOptions, input_shape: Shape, num_classes: int) -> Network:
    """Three groups: a plain convolution that sets the shape, then gated 3x3 layers."""
    net = NetworkBuilder("highway", input_shape)
    for group in range(NUM_GROUPS):
        filters, strides = options.width * 2**group, 2 if group else 1
        net.add(f"group{group + 1}/conv", active_convolution(filters, strides=strides))
        for index in range(1, options.repeats + 1):
            name, source = f"group{group + 1}/layer{index}", net.latest
            transformed = net.add(f"{name}/transform", active_convolution(filters), source)
            gate = net.add(f"{name}/gate", gate_convolution(filters, options.gate_bias), source)
            net.add(f"{name}/mix", Highway(), source, transformed, gate)
            net.close_block(name, transformed, source, is_identity=True)
        net.tap(f"group{group + 1}")
    net.add("pool", GlobalPool())
    net.add("fc", classifier(num_classes))
    return net.build()


def convolution(filters: int, *, size: int = 3, strides: int = 1, use_bias: bool = False) -> Conv2D:
    """Square convolution, padded on both sides alike."""
    return Conv2D(
        filters=filters,
        kernel_size=(size, size),
        strides=(strides, strides),
        padding=symmetric(size),
        use_bias=use_bias,
        initializer="kaiming_normal_fan_out",
        bias_initializer="torch_uniform",
    )


def active_convolution(filters: int, *, strides: int = 1) -> Conv2D:
    """3x3 with bias and ReLU."""
    return Conv2D(
        filters=filters,
        kernel_size=(3, 3),
        strides=(strides, strides),
        padding=symmetric(3),
        activation="relu",
        initializer="kaiming_normal_fan_in",
    )


def gate_convolution(filters: int, initial_bias: float) -> Conv2D:
    """3x3 with sigmoid; its biases start at `initial_bias`."""
    return Conv2D(
        filters=filters,
        kernel_size=(3, 3),
        padding=symmetric(3),
        activation="sigmoid",
        initial_bias=initial_bias,
        initializer="kaiming_normal_fan_in",
    )
