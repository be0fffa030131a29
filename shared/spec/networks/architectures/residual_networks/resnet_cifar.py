"""Networks of the CIFAR form: three stages of narrow 3x3 blocks for images of about 32 pixels.

The residual net is that of the L2T-ww publication: 6n + 2 layers, 32 for n = 5. It differs from the
CIFAR ResNet of arXiv 1512.03385 by a bias in the first convolution and by shortcuts with a 1x1
convolution and batch norm. Padding is symmetric, also at stride 2. The Highway net (arXiv
1505.00387) has gates in place of the residual net's sums.
"""

from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.layers.residual import Highway
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .blocks import BlockEnds, ResidualOptions
from .resnet import classifier, symmetric

NORM = BatchNorm(momentum=0.9, epsilon=1e-5)
RELU = Activate(activation="relu")
NUM_STAGES = 3
# As in the deepest net that was published in this form, ResNet-1202 (arXiv 1512.03385). A mistyped
# 1000000 would be declared for hours before anything else could refuse it.
MOST_BLOCKS = 200


class ResNetCifarOptions(ResidualOptions):
    """Options of the CIFAR ResNet."""

    blocks_per_stage: int = Field(
        5, ge=1, le=MOST_BLOCKS, description="number of blocks per stage, n of the 6n + 2 layers"
    )
    width: int = Field(
        16,
        ge=1,
        description="number of channels of the first stage; each next one has twice as many",
    )
    activation: Literal["post", "pre"] = Field(
        "post",
        description="place of norm and ReLU; post: after each convolution and the sum; pre: before "
        "each convolution, none after the sum",
    )


class HighwayOptions(Settings):
    """Options of the Highway net."""

    repeats: int = Field(
        3,
        ge=1,
        le=MOST_BLOCKS,
        description="number of gated layers in each of the three stages",
    )
    width: int = Field(
        16,
        ge=1,
        description="number of channels of the first stage; each next one has twice as many",
    )
    gate_bias: float = Field(
        -2.0, description="initial value of the gates' biases; negative: they begin closed"
    )


def resnet32_cifar(options: ResNetCifarOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the residual net: stem, three stages of blocks (16, 32, 64 filters), mean, head.

    Taps `block0` … `block14` are the outputs of the blocks, after the ReLU that ends a block of the
    form "post". Taps `reduction1` … `reduction3` are the last output of each stage.
    """
    net = NetworkBuilder("resnet32_cifar", input_shape)
    repeats = options.blocks_per_stage
    ends = BlockEnds(net, options, NUM_STAGES * repeats)
    is_post = options.activation == "post"
    net.add("stem/conv", convolution(options.width, use_bias=True))
    if is_post:
        net.add("stem/norm", NORM)
        net.add("stem/relu", RELU)
    add_block = add_post_block if is_post else add_pre_block
    for stage in range(1, NUM_STAGES + 1):
        for index in range(repeats):
            strides = 2 if stage > 1 and index == 0 else 1
            filters = options.width * 2 ** (stage - 1)
            add_block(net, ends, f"stage{stage}/block{index + 1}", filters, strides)
            net.tap(f"block{(stage - 1) * repeats + index}")
        net.tap(f"reduction{stage}")
    if not is_post:
        net.add("norm", NORM)
        net.add("relu", RELU)
    net.add("pool", GlobalPool())
    net.add("head", classifier(num_classes))
    return net.build()


def add_post_block(
    net: NetworkBuilder, ends: BlockEnds, name: str, filters: int, strides: int
) -> None:
    """Add 3x3, norm, ReLU, 3x3, norm; plus the shortcut; ReLU."""
    source = shortcut = net.latest
    if needs_projection(net, ends, filters, strides):
        net.add(f"{name}/shortcut_conv", convolution(filters, size=1, strides=strides))
        shortcut = net.add(f"{name}/shortcut_norm", NORM)
    first = net.add(f"{name}/conv1", convolution(filters, strides=strides), source)
    net.add(f"{name}/norm1", NORM)
    net.add(f"{name}/relu1", RELU)
    net.add(f"{name}/conv2", convolution(filters))
    net.add(f"{name}/norm2", NORM)
    ends.end(name, first, shortcut, is_identity=shortcut == source)
    net.add(f"{name}/relu2", RELU)


def add_pre_block(
    net: NetworkBuilder, ends: BlockEnds, name: str, filters: int, strides: int
) -> None:
    """Add norm, ReLU, 3x3, norm, ReLU, 3x3; plus the shortcut.

    A projection reads the first ReLU's output.
    """
    source = shortcut = net.latest
    first = net.add(f"{name}/norm1", NORM)
    active = net.add(f"{name}/relu1", RELU)
    if needs_projection(net, ends, filters, strides):
        shortcut = net.add(
            f"{name}/shortcut_conv", convolution(filters, size=1, strides=strides), active
        )
        first = f"{name}/conv1"
    net.add(f"{name}/conv1", convolution(filters, strides=strides), active)
    net.add(f"{name}/norm2", NORM)
    net.add(f"{name}/relu2", RELU)
    net.add(f"{name}/conv2", convolution(filters))
    ends.end(name, first, shortcut, is_identity=shortcut == source)


def needs_projection(net: NetworkBuilder, ends: BlockEnds, filters: int, strides: int) -> bool:
    """Return whether the shortcut exists and must change the shape."""
    changes = strides > 1 or net.shape(net.latest)[-1] != filters
    return changes and ends.options.shortcut == "residual"


def highway(options: HighwayOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the Highway net: three stages, mean, head.

    A stage is a plain convolution that sets the shape, then gated 3x3 layers.
    """
    net = NetworkBuilder("highway", input_shape)
    for stage in range(NUM_STAGES):
        filters, strides = options.width * 2**stage, 2 if stage else 1
        net.add(f"stage{stage + 1}/conv", active_convolution(filters, strides=strides))
        for index in range(1, options.repeats + 1):
            name, source = f"stage{stage + 1}/layer{index}", net.latest
            transformed = net.add(f"{name}/transform", active_convolution(filters), source)
            gate = net.add(f"{name}/gate", gate_convolution(filters, options.gate_bias), source)
            net.add(f"{name}/mix", Highway(), source, transformed, gate)
            net.close_block(name, transformed, source, is_identity=True)
        net.tap(f"stage{stage + 1}")
    net.add("pool", GlobalPool())
    net.add("head", classifier(num_classes))
    return net.build()


def convolution(filters: int, *, size: int = 3, strides: int = 1, use_bias: bool = False) -> Conv2D:
    """Declare a square convolution with symmetric padding."""
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
    """Declare a 3x3 convolution with bias and ReLU."""
    return Conv2D(
        filters=filters,
        kernel_size=(3, 3),
        strides=(strides, strides),
        padding=symmetric(3),
        activation="relu",
        initializer="kaiming_normal_fan_in",
    )


def gate_convolution(filters: int, initial_bias: float) -> Conv2D:
    """Declare a 3x3 convolution with sigmoid, whose biases start at `initial_bias`."""
    return Conv2D(
        filters=filters,
        kernel_size=(3, 3),
        padding=symmetric(3),
        activation="sigmoid",
        initial_bias=initial_bias,
        initializer="kaiming_normal_fan_in",
    )
