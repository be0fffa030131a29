"""Inception-ResNet v1 and v2 (arXiv 1602.07261).

Residual branches end in a 1x1 convolution with bias and without batch norm or ReLU; they are scaled
and added. Version 2 is in the Keras lineage: batch norm without gamma, and a last block at scale 1
without ReLU. Version 1 is the paper's with 5, 10 and 5 blocks; gamma is an option.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.residual import ScaledAdd
from poc.shared.spec.networks.network import Network

from .inception import InceptionBuilder, InceptionOptions, add_mixed_5x5, add_stem

Branch = Sequence[tuple[int, int, int]]
# Five times the published 20: a mistyped million would be declared for hours.
Repeats = Annotated[int, Field(ge=0, le=100)]


class InceptionResNetOptions(InceptionOptions):
    """Options of both versions."""

    repeats: tuple[Repeats, Repeats, Repeats] | None = Field(
        None, description="number of blocks of each of the three kinds; none: the published ones"
    )


class InceptionResNetV1Options(InceptionResNetOptions):
    """Options of version 1."""

    gamma: bool = Field(True, description="use batch norm with gamma, the learned scale")


def inception_resnet_v1(
    options: InceptionResNetV1Options, input_shape: Shape, num_classes: int
) -> Network:
    """Declare version 1: stem, blocks A, reduction, blocks B, reduction, blocks C, pool, head."""
    norm = BatchNorm(scale=options.gamma)
    net = InceptionBuilder("inception_resnet_v1", input_shape, options, norm)
    add_stem_v1(net)
    for index in range(1, (options.repeats or (5, 10, 5))[0] + 1):
        branches: list[Branch] = [
            [(32, 1, 1)],
            [(32, 1, 1), (32, 3, 3)],
            [(32, 1, 1), (32, 3, 3), (32, 3, 3)],
        ]
        add_residual(net, f"a{index}", branches, scale=0.17)
    add_reduction(net, "reduction_a", [[(384, 3, 3)], [(192, 1, 1), (192, 3, 3), (256, 3, 3)]])
    for index in range(1, (options.repeats or (5, 10, 5))[1] + 1):
        branches = [[(128, 1, 1)], [(128, 1, 1), (128, 1, 7), (128, 7, 1)]]
        add_residual(net, f"b{index}", branches, scale=0.10)
    branches = [
        [(256, 1, 1), (384, 3, 3)],
        [(256, 1, 1), (256, 3, 3)],
        [(256, 1, 1), (256, 3, 3), (256, 3, 3)],
    ]
    add_reduction(net, "reduction_b", branches)
    for index in range(1, (options.repeats or (5, 10, 5))[2] + 1):
        branches = [[(192, 1, 1)], [(192, 1, 1), (192, 1, 3), (192, 3, 1)]]
        add_residual(net, f"c{index}", branches, scale=0.20)
    return net.finish(num_classes)


def inception_resnet_v2(
    options: InceptionResNetOptions, input_shape: Shape, num_classes: int
) -> Network:
    """Declare version 2: stem, mixed 5b, blocks 35, 17 and 8 with reductions between, 1x1, head."""
    net = InceptionBuilder("inception_resnet_v2", input_shape, options, BatchNorm(scale=False))
    first, second, third = options.repeats or (10, 20, 10)
    add_stem(net)
    add_mixed_5x5(net, "mixed5b", 64, plain=96)
    for index in range(1, first + 1):
        branches: list[Branch] = [
            [(32, 1, 1)],
            [(32, 1, 1), (32, 3, 3)],
            [(32, 1, 1), (48, 3, 3), (64, 3, 3)],
        ]
        add_residual(net, f"block35_{index}", branches, scale=0.17)
    add_reduction(net, "mixed6a", [[(384, 3, 3)], [(256, 1, 1), (256, 3, 3), (384, 3, 3)]])
    for index in range(1, second + 1):
        branches = [[(192, 1, 1)], [(128, 1, 1), (160, 1, 7), (192, 7, 1)]]
        add_residual(net, f"block17_{index}", branches, scale=0.10)
    branches = [
        [(256, 1, 1), (384, 3, 3)],
        [(256, 1, 1), (288, 3, 3)],
        [(256, 1, 1), (288, 3, 3), (320, 3, 3)],
    ]
    add_reduction(net, "mixed7a", branches)
    branches = [[(192, 1, 1)], [(192, 1, 1), (224, 1, 3), (256, 3, 1)]]
    for index in range(1, third):
        add_residual(net, f"block8_{index}", branches, scale=0.20)
    add_residual(net, f"block8_{third}", branches, scale=1.0, has_relu=False)
    net.unit("last", (1536, 1, 1))
    return net.finish(num_classes)


def add_stem_v1(net: InceptionBuilder) -> None:
    """Add version 1's stem, 299x299x3 -> 35x35x256; a convolution does the last halving."""
    net.unit("stem/conv1", (32, 3, 3), strides=2, padding="valid")
    net.unit("stem/conv2", (32, 3, 3), padding="valid")
    net.unit("stem/conv3", (64, 3, 3))
    net.halving_pool("stem/pool")
    net.unit("stem/conv4", (80, 1, 1))
    net.unit("stem/conv5", (192, 3, 3), padding="valid")
    net.unit("stem/conv6", (256, 3, 3), strides=2, padding="valid")
    net.tap("stem")


def add_residual(
    net: InceptionBuilder,
    name: str,
    branches: Sequence[Branch],
    *,
    scale: float,
    has_relu: bool = True,
) -> None:
    """Add a block x + scale * expand(concatenated branches), then ReLU."""
    source = net.latest
    outputs = [
        net.branch(f"{name}/branch{index}", branch, source)
        for index, branch in enumerate(branches, start=1)
    ]
    net.join(name, *outputs)
    expand = Conv2D(filters=net.shape(source)[-1], kernel_size=(1, 1))
    residual = net.add(f"{name}/expand", expand)
    net.add(f"{name}/add", ScaledAdd(scale=scale), source, residual)
    net.close_block(name, f"{name}/branch1/1", source, is_identity=True)
    if has_relu:
        net.add(f"{name}/relu", Activate(activation="relu"))
    net.tap(name)


def add_reduction(net: InceptionBuilder, name: str, branches: Sequence[Branch]) -> None:
    """Add branches that end in a 3x3/2 convolution, and a pool/2, and concatenate them."""
    source = net.latest
    outputs = [
        net.branch(f"{name}/branch{index}", branch, source, halves=True)
        for index, branch in enumerate(branches, start=1)
    ]
    net.join(name, *outputs, net.halving_pool(f"{name}/pool", source))
