"""DenseNet (arXiv 1608.06993): DenseNet-121 for photographs, DenseNet-BC for images of 32 pixels.

A layer reads the maps of all layers before it in its stage, and adds a few channels to them. Batch
norm and ReLU come before each convolution; no convolution has a bias. Between two stages a 1x1
convolution halves the channels and an average pool the map.
"""

from typing import Annotated, Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.merging import Concatenate
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .residual_networks.resnet import symmetric

# Channels of a layer's 1x1 convolution, in units of the growth rate.
BOTTLENECK = 4
HALVE = Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid", mode="average")
MOST_LAYERS = 200
# Each of the three stages of the form for CIFAR has layers of two convolutions. The stem, two
# transitions and the head are the other four.
NUM_CIFAR_STAGES, OTHER_CONVOLUTIONS = 3, 4


class DenseNetOptions(Settings):
    """Options that both forms have."""

    lineage: Literal["torchvision", "keras"] = Field(
        "torchvision",
        description="library whose batch norm and initial weights are used; keras: epsilon "
        "1.001e-5, keeps 0.99, Glorot",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout rate after each layer's last convolution; 0.2 in the paper where "
        "images are not augmented",
    )


class DenseNet121Options(DenseNetOptions):
    """Options of DenseNet-121, whose stages may have other numbers of layers."""

    growth_rate: int = Field(32, ge=1, description="channels that each layer adds")
    stem_filters: int = Field(64, ge=1, description="channels of the first convolution")
    layers: tuple[Annotated[int, Field(ge=1, le=MOST_LAYERS)], ...] = Field(
        (6, 12, 24, 16), min_length=1, max_length=4, description="number of layers of each stage"
    )


class DenseNetCifarOptions(DenseNetOptions):
    """Options of DenseNet-BC, of which the paper has depth 100 with growth rate 12."""

    depth: int = Field(
        40, ge=10, le=6 * MOST_LAYERS, description="number of layers with a kernel, 6n + 4"
    )
    growth_rate: int = Field(
        12, ge=1, description="channels that each layer adds; the stem has twice as many"
    )


class DenseStages:
    """A helper that adds the parts of one DenseNet to a builder."""

    def __init__(self, net: NetworkBuilder, options: DenseNetOptions, growth_rate: int) -> None:
        self.net, self.dropout, self.growth_rate = net, options.dropout, growth_rate
        is_keras = options.lineage == "keras"
        self.norm = (
            BatchNorm(momentum=0.99, epsilon=1.001e-5)
            if is_keras
            else BatchNorm(momentum=0.9, epsilon=1e-5)
        )
        self.initializer = "glorot_uniform" if is_keras else "kaiming_normal_fan_in"
        self.head_initializer = "glorot_uniform" if is_keras else "torch_uniform"

    def convolve(self, name: str, filters: int, size: int, *, strides: int = 1) -> str:
        """Add a convolution with symmetric padding and without a bias."""
        layer = Conv2D(
            filters=filters,
            kernel_size=(size, size),
            strides=(strides, strides),
            padding=symmetric(size),
            use_bias=False,
            initializer=self.initializer,
        )
        return self.net.add(name, layer)

    def normalize(self, norm: str, relu: str) -> str:
        """Add batch norm and ReLU under these names."""
        self.net.add(norm, self.norm)
        return self.net.add(relu, Activate(activation="relu"))

    def stage(self, number: int, num_layers: int) -> None:
        """Add the layers of a stage; the map after the last one is its tap."""
        for index in range(1, num_layers + 1):
            self.layer(f"stage{number}/layer{index}")
        self.net.tap(f"stage{number}")

    def layer(self, name: str) -> None:
        """Add norm, ReLU, 1x1, norm, ReLU, 3x3, whose channels come after those of its input."""
        source = self.net.latest
        self.normalize(f"{name}/norm1", f"{name}/relu1")
        self.convolve(f"{name}/conv1", BOTTLENECK * self.growth_rate, 1)
        self.normalize(f"{name}/norm2", f"{name}/relu2")
        added = self.convolve(f"{name}/conv2", self.growth_rate, 3)
        if self.dropout:
            added = self.net.add(f"{name}/dropout", Dropout(rate=self.dropout))
        self.net.add(f"{name}/concatenate", Concatenate(), source, added)

    def halve(self, number: int) -> None:
        """Add norm, ReLU, 1x1 to half of the channels, average pool 2x2."""
        name, channels = f"transition{number}", self.net.shape(self.net.latest)[-1]
        self.normalize(f"{name}/norm", f"{name}/relu")
        self.convolve(f"{name}/conv", max(1, channels // 2), 1)
        self.net.add(f"{name}/pool", HALVE)

    def finish(self, stages: tuple[int, ...], num_classes: int) -> Network:
        """Add all stages with these numbers of layers, norm, ReLU, mean and head."""
        for number, num_layers in enumerate(stages, start=1):
            self.stage(number, num_layers)
            if number < len(stages):
                self.halve(number)
        self.normalize("norm", "relu")
        self.net.add("pool", GlobalPool())
        # Its bias begins at zero in both libraries.
        self.net.add("head", Dense(units=num_classes, initializer=self.head_initializer))
        return self.net.build()


def densenet121(options: DenseNet121Options, input_shape: Shape, num_classes: int) -> Network:
    """Declare stem 7x7/2, norm, ReLU and pool 3x3/2, then four stages, norm, ReLU, mean, head.

    Taps `stage1` … `stage4` are the maps after each stage, before any norm.
    """
    net = NetworkBuilder("densenet121", input_shape)
    dense = DenseStages(net, options, options.growth_rate)
    dense.convolve("stem/conv", options.stem_filters, 7, strides=2)
    dense.normalize("stem/norm", "stem/relu")
    net.add("stem/pool", Pool2D(kernel_size=(3, 3), strides=(2, 2), padding=symmetric(3)))
    return dense.finish(options.layers, num_classes)


def densenet_cifar(options: DenseNetCifarOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare DenseNet-BC: stem 3x3, three stages of equal length, norm, ReLU, mean, head.

    Raises:
        UsageError: The depth is not 6n + 4.
    """
    num_layers, rest = divmod(options.depth - OTHER_CONVOLUTIONS, 2 * NUM_CIFAR_STAGES)
    if rest:
        raise UsageError(
            f"Got depth={options.depth}. Expected 6n + 4, such as 40 or 100. Try "
            f"depth={options.depth - rest}."
        )
    net = NetworkBuilder("densenet_cifar", input_shape)
    dense = DenseStages(net, options, options.growth_rate)
    dense.convolve("stem/conv", 2 * options.growth_rate, 3)
    return dense.finish((num_layers,) * NUM_CIFAR_STAGES, num_classes)
