"""ResNet (arXiv 1512.03385) and ResNeXt (arXiv 1611.05431).

Names and defaults are those of torchvision: convolutions without bias, symmetric padding, epsilon
1e-5, the stride of a bottleneck on its 3x3 ("v1.5"). `lineage="keras"` is the ResNet of
keras.applications: biases, epsilon 1.001e-5, the stride on the first 1x1 ("v1").
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.layers.window import Pads
from poc.shared.spec.networks.network import Network

from .blocks import BlockEnds, ResidualOptions

REPEATS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BASIC_DEPTHS = (18, 34)
EXPANSION = 4


class ResNetOptions(ResidualOptions):
    """Options of the ResNets for photographs."""

    lineage: Literal["torchvision", "keras"] = Field(
        "torchvision",
        description="library whose form is used; keras: with biases, epsilon 1.001e-5, stride on "
        "the first 1x1",
    )
    stride_on: Literal["auto", "1x1", "3x3"] = Field(
        "auto",
        description="convolution of a halving bottleneck that has the stride; 1x1: v1; 3x3: v1.5; "
        "auto: the lineage's",
    )
    stem: Literal["7x7", "3x3"] = Field(
        "7x7",
        description="first convolution; 3x3: stride 1 and no pool, for images of about 32 pixels",
    )
    width: int = Field(
        64,
        ge=1,
        description="number of channels of the first stage; each next one has twice as many",
    )


class Residual:
    """A helper that adds the parts of one ResNet to a builder."""

    def __init__(
        self,
        net: NetworkBuilder,
        options: ResNetOptions,
        num_blocks: int,
        *,
        groups: int = 1,
        group_width: int = 64,
    ) -> None:
        self.net, self.options = net, options
        self.ends = BlockEnds(net, options, num_blocks)
        self.groups, self.group_width = groups, group_width
        is_keras = options.lineage == "keras"
        self.norm = (
            BatchNorm(momentum=0.99, epsilon=1.001e-5)
            if is_keras
            else BatchNorm(momentum=0.9, epsilon=1e-5)
        )
        on_first = is_keras if options.stride_on == "auto" else options.stride_on == "1x1"
        self.strided = 1 if on_first else 2

    def unit(
        self, name: str, number: int, filters: int, size: int, *, strides: int = 1, groups: int = 1
    ) -> str:
        """Add a convolution and a batch norm, `conv<number>` and `bn<number>`."""
        self.convolve(f"{name}conv{number}", filters, size, strides=strides, groups=groups)
        return self.net.add(f"{name}bn{number}", self.norm)

    def convolve(
        self,
        name: str,
        filters: int,
        size: int,
        source: str | None = None,
        *,
        strides: int = 1,
        groups: int = 1,
    ) -> str:
        """Add a convolution with symmetric padding."""
        is_keras = self.options.lineage == "keras"
        layer = Conv2D(
            filters=filters,
            kernel_size=(size, size),
            strides=(strides, strides),
            padding=symmetric(size),
            groups=groups,
            use_bias=is_keras,
            initializer="glorot_uniform" if is_keras else "kaiming_normal_fan_out",
        )
        return self.net.add(name, layer, source or self.net.latest)

    def stem(self) -> None:
        """Add 7x7/2 and pool 3x3/2, or one 3x3."""
        net, is_small = self.net, self.options.stem == "3x3"
        size, strides = (3, 1) if is_small else (7, 2)
        self.unit("", 1, self.options.width, size, strides=strides)
        net.add("relu", Activate(activation="relu"))
        if not is_small:
            net.add("maxpool", Pool2D(kernel_size=(3, 3), strides=(2, 2), padding=symmetric(3)))

    def basic(self, name: str, planes: int, strides: int) -> None:
        """Add a basic block: 3x3, 3x3."""
        source, shortcut = self.shortcut(name, planes, strides)
        self.convolve(f"{name}/conv1", planes, 3, source, strides=strides)
        self.net.add(f"{name}/bn1", self.norm)
        self.net.add(f"{name}/relu1", Activate(activation="relu"))
        self.unit(f"{name}/", 2, planes, 3)
        self.finish(name, source, shortcut, "relu2")

    def bottleneck(self, name: str, planes: int, strides: int) -> None:
        """Add a bottleneck: 1x1, 3x3 (in groups), 1x1 to four times `planes` channels."""
        source, shortcut = self.shortcut(name, EXPANSION * planes, strides)
        width = max(1, planes * self.group_width // 64) * self.groups
        first, second = (strides, 1) if self.strided == 1 else (1, strides)
        self.convolve(f"{name}/conv1", width, 1, source, strides=first)
        self.net.add(f"{name}/bn1", self.norm)
        self.net.add(f"{name}/relu1", Activate(activation="relu"))
        self.unit(f"{name}/", 2, width, 3, strides=second, groups=self.groups)
        self.net.add(f"{name}/relu2", Activate(activation="relu"))
        self.unit(f"{name}/", 3, EXPANSION * planes, 1)
        self.finish(name, source, shortcut, "relu3")

    def shortcut(self, name: str, filters: int, strides: int) -> tuple[str, str]:
        """Return the block's input, and the input or its projection to the output's shape."""
        source = self.net.latest
        if strides == 1 and self.net.shape(source)[-1] == filters:
            return source, source
        if self.options.shortcut == "none":
            return source, source
        self.convolve(f"{name}/downsample/0", filters, 1, source, strides=strides)
        return source, self.net.add(f"{name}/downsample/1", self.norm)

    def finish(self, name: str, source: str, shortcut: str, relu: str) -> None:
        """Add the shortcut, then ReLU."""
        self.ends.end(name, f"{name}/conv1", shortcut, is_identity=shortcut == source)
        self.net.add(f"{name}/{relu}", Activate(activation="relu"))

    def head(self, num_classes: int) -> Network:
        """Add global average pool and classifier, then build."""
        self.net.add("avgpool", GlobalPool())
        self.net.add("fc", classifier(num_classes, is_keras=self.options.lineage == "keras"))
        return self.net.build()


def resnet(
    options: ResNetOptions,
    input_shape: Shape,
    num_classes: int,
    *,
    depth: int,
    groups: int = 1,
    group_width: int = 64,
) -> Network:
    """Declare stem, four stages of blocks, global average pool and classifier.

    Taps `layer1` to `layer4` are the outputs of the stages.
    """
    name = f"resnext{depth}_{groups}x{group_width}d" if groups > 1 else f"resnet{depth}"
    net = NetworkBuilder(name, input_shape)
    repeats = REPEATS[depth]
    parts = Residual(net, options, sum(repeats), groups=groups, group_width=group_width)
    block = parts.basic if depth in BASIC_DEPTHS else parts.bottleneck
    parts.stem()
    for stage, count in enumerate(repeats, start=1):
        for index in range(count):
            strides = 2 if stage > 1 and index == 0 else 1
            block(f"layer{stage}/{index}", options.width * 2 ** (stage - 1), strides)
        net.tap(f"layer{stage}")
    return parts.head(num_classes)


Declare = Callable[[ResNetOptions, Shape, int], Network]


def of_depth(depth: int) -> Declare:
    """Return the function that declares the ResNet of this depth."""
    return partial(resnet, depth=depth)


def resnext101(group_width: int) -> Declare:
    """Return the function that declares ResNeXt-101 with 32 groups of this width."""
    return partial(resnet, depth=101, groups=32, group_width=group_width)


def classifier(num_classes: int, *, is_keras: bool = False) -> Dense:
    """Declare the dense layer of the head with the initial weights of its lineage."""
    if is_keras:
        return Dense(units=num_classes)
    return Dense(units=num_classes, initializer="torch_uniform", bias_initializer="torch_uniform")


def symmetric(size: int) -> Pads:
    """Return pads of half the window on every side."""
    half = size // 2
    return (half, half), (half, half)
