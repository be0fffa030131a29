"""ResNet with pre-activation (arXiv 1603.05027) in the form of keras.applications' ResNetV2.

Batch norm and ReLU come before each convolution, nothing follows the sum, and one batch norm and
ReLU end the net. In Keras' form the last block of a stage halves the map; its shortcut is then a
1x1 pool of stride 2. Only the stem, the projections and the last convolution of a branch have
biases. The stem pads its max-pool with zeros, which count since no ReLU comes before it.
"""

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network

from .blocks import BlockEnds, ResidualOptions
from .resnet import EXPANSION, REPEATS, symmetric

NORM = BatchNorm(momentum=0.99, epsilon=1.001e-5)
RELU = Activate(activation="relu")


class ResNetV2Options(ResidualOptions):
    """Options of the pre-activation ResNets."""

    width: int = Field(
        64,
        ge=1,
        description="number of channels of the first stage; each next one has twice as many",
    )


def resnet_v2(
    options: ResNetV2Options, input_shape: Shape, num_classes: int, *, depth: int
) -> Network:
    """Declare stem, four stages of bottlenecks, batch norm, ReLU, global average pool and head."""
    net = NetworkBuilder(f"resnet{depth}v2", input_shape)
    repeats = REPEATS[depth]
    ends = BlockEnds(net, options, sum(repeats))
    net.add("conv1", convolution(options.width, 7, strides=2, use_bias=True))
    pool = Pool2D(
        kernel_size=(3, 3), strides=(2, 2), padding=symmetric(3), mode="max", count_padding=True
    )
    net.add("pool1", pool)
    for stage, count in enumerate(repeats, start=1):
        for index in range(1, count + 1):
            halves = index == count and stage < len(repeats)
            name = f"stage{stage}/block{index}"
            filters = options.width * 2 ** (stage - 1)
            add_block(net, ends, name, filters, strides=2 if halves else 1, projects=index == 1)
        net.tap(f"stage{stage}")
    net.add("norm", NORM)
    net.add("relu", RELU)
    net.add("pool", GlobalPool())
    net.add("head", Dense(units=num_classes))
    return net.build()


def add_block(
    net: NetworkBuilder, ends: BlockEnds, name: str, filters: int, *, strides: int, projects: bool
) -> None:
    """Add norm, ReLU, 1x1, norm, ReLU, 3x3, norm, ReLU, 1x1; plus the shortcut.

    A projection reads the normalised input, so the first norm and ReLU are then not in the block.
    """
    source = shortcut = net.latest
    has_shortcut = ends.options.shortcut == "residual"
    if not projects and strides > 1 and has_shortcut:
        pool = Pool2D(kernel_size=(1, 1), strides=(strides, strides), padding="valid")
        shortcut = net.add(f"{name}/shortcut", pool)
    first = net.add(f"{name}/norm0", NORM, source)
    active = net.add(f"{name}/relu0", RELU)
    if projects and has_shortcut:
        project = convolution(EXPANSION * filters, 1, strides=strides, use_bias=True)
        shortcut = net.add(f"{name}/shortcut", project)
        first = f"{name}/conv1"
    net.add(f"{name}/conv1", convolution(filters, 1), active)
    net.add(f"{name}/norm1", NORM)
    net.add(f"{name}/relu1", RELU)
    net.add(f"{name}/conv2", convolution(filters, 3, strides=strides))
    net.add(f"{name}/norm2", NORM)
    net.add(f"{name}/relu2", RELU)
    net.add(f"{name}/conv3", convolution(EXPANSION * filters, 1, use_bias=True))
    ends.end(name, first, shortcut, is_identity=shortcut == source)


def convolution(filters: int, size: int, *, strides: int = 1, use_bias: bool = False) -> Conv2D:
    """Declare a square convolution with symmetric padding."""
    return Conv2D(
        filters=filters,
        kernel_size=(size, size),
        strides=(strides, strides),
        padding=symmetric(size),
        use_bias=use_bias,
    )
