"""The networks of the LightLayers paper and of the chest X-ray study.

Batch norm keeps 0.9 of its running statistics per step, not the published 0.99. A small data set
has so few steps per epoch that evaluation with the published value would use statistics near their
initial values (docs/methods/lightlayers.md). The published configs set 0.99.

Sources: arXiv 2101.02268 (plain and residual nets) and the study's printed summaries (residual net
with an ordinary Dense head, and the chain of nine convolutions). `layer` changes the kind of
convolution and keeps the topology, for fair baselines.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field, PositiveInt

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D, SeparableConv2D
from poc.shared.spec.networks.layers.declaration import Activation, Layer, Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.light import LightConv2D, LightDense
from poc.shared.spec.networks.layers.merging import Add
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

WIDTHS = (8, 16, 32)


class LightNetOptions(Settings):
    """Options of both LightLayers nets."""

    layer: Literal["light", "conv2d", "separable"] = Field(
        "light", description="kind of convolution; conv2d and separable are the fair baselines"
    )
    k: int = Field(3, ge=1, description="number of bottleneck channels in each light convolution")
    widths: tuple[PositiveInt, ...] = Field(
        WIDTHS, min_length=1, description="number of filters of each block"
    )
    head: Literal["auto", "dense", "light_dense"] = Field(
        "auto",
        description="layer of the head; auto: LightDense in the plain net of light layers, Dense "
        "elsewhere",
    )
    head_rank: int = Field(
        8, ge=1, description="number of bottleneck channels of the LightDense head"
    )
    inner_activation: Literal["relu", "none"] = Field(
        "relu",
        description="activation between the two convolutions of a light one; none in the paper's "
        "figure",
    )
    bias_initializer: Literal["zeros", "reference"] = Field(
        "zeros",
        description="initial biases of light convolutions; reference: Glorot-uniform, as in the "
        "published code",
    )
    scale: Literal["none", "reference"] = Field(
        "none",
        description="factor on both LightDense kernels; reference: sqrt(2 / units), as in the "
        "published code",
    )
    kernel_l2: float = Field(
        1e-4, ge=0, description="coefficient a of the loss a * sum(w^2) on light kernels"
    )
    norm_momentum: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="share of batch norm's running statistics kept in each step; published: 0.99",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate between the pool and the head"
    )


class ConvChainOptions(Settings):
    """Options of the study's chain of nine convolutions."""

    layer: Literal["light", "conv2d", "separable"] = Field(
        "conv2d", description="kind of convolution"
    )
    k: int = Field(3, ge=1, description="light: number of bottleneck channels in each convolution")
    widths: tuple[PositiveInt, ...] = Field(
        WIDTHS, min_length=1, description="number of filters of each stage"
    )
    norm_momentum: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="share of batch norm's running statistics kept in each step; published: 0.99",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate between the pool and the head"
    )


def lightnet_plain(options: LightNetOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the plain net, for MNIST and Fashion-MNIST.

    A block is twice [convolution 3x3, batch norm, ReLU], then a max-pool.
    """
    net = NetworkBuilder("lightnet_plain", input_shape)
    convolution, norm = convolution_factory(options), BatchNorm(momentum=options.norm_momentum)
    for index, filters in enumerate(options.widths, start=1):
        for part in (1, 2):
            net.add(f"block{index}/conv{part}", convolution(filters, 3, None))
            net.add(f"block{index}/norm{part}", norm)
            net.add(f"block{index}/relu{part}", Activate(activation="relu"))
        finish_block(net, index)
    is_light = options.head == "light_dense" or (
        options.head == "auto" and options.layer == "light"
    )
    return finish_network(net, options.dropout, head_layer(options, num_classes, is_light))


def lightnet_residual(options: LightNetOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the residual net, for CIFAR and the chest X-ray study.

    A block is residual with a 1x1 shortcut, then a max-pool.
    """
    net = NetworkBuilder("lightnet_residual", input_shape)
    convolution, norm = convolution_factory(options), BatchNorm(momentum=options.norm_momentum)
    for index, filters in enumerate(options.widths, start=1):
        add_residual_block(net, f"block{index}", filters, convolution, norm)
        finish_block(net, index)
    is_light = options.head == "light_dense"
    return finish_network(net, options.dropout, head_layer(options, num_classes, is_light))


def conv2d_chain(options: ConvChainOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the study's baseline: nine 3x3 "valid" convolutions with ReLU, then batch norm."""
    net = NetworkBuilder("conv2d_chain", input_shape)
    convolution = convolution_factory(
        LightNetOptions(layer=options.layer, k=options.k), padding="valid"
    )
    norm = BatchNorm(momentum=options.norm_momentum)
    for index, filters in enumerate(options.widths, start=1):
        for part in (1, 2, 3):
            net.add(f"stage{index}/conv{part}", convolution(filters, 3, "relu"))
            net.add(f"stage{index}/norm{part}", norm)
        finish_block(net, index, "stage")
    return finish_network(net, options.dropout, Dense(units=num_classes))


ConvolutionFactory = Callable[[int, int, Activation | None], Layer]


def convolution_factory(
    options: LightNetOptions, padding: Literal["same", "valid"] = "same"
) -> ConvolutionFactory:
    """Return a function (filters, size, activation) -> convolution of the kind `options.layer`."""

    def convolution(filters: int, size: int, activation: Activation | None) -> Layer:
        window = (size, size)
        if options.layer == "light":
            return LightConv2D(
                filters=filters,
                kernel_size=window,
                rank=options.k,
                padding=padding,
                activation=activation,
                inner_activation="relu" if options.inner_activation == "relu" else None,
                bias_initializer=options.bias_initializer,
                kernel_l2=options.kernel_l2,
            )
        kind = Conv2D if options.layer == "conv2d" else SeparableConv2D
        return kind(filters=filters, kernel_size=window, padding=padding, activation=activation)

    return convolution


def add_residual_block(
    net: NetworkBuilder,
    name: str,
    filters: int,
    convolution: ConvolutionFactory,
    norm: BatchNorm,
) -> None:
    """Add conv, norm, ReLU, conv, norm; plus conv 1x1, norm of the block's input; then ReLU."""
    block_input = net.latest
    net.add(f"{name}/conv1", convolution(filters, 3, None))
    net.add(f"{name}/norm1", norm)
    net.add(f"{name}/relu1", Activate(activation="relu"))
    net.add(f"{name}/conv2", convolution(filters, 3, None))
    main = net.add(f"{name}/norm2", norm)
    net.add(f"{name}/shortcut_conv", convolution(filters, 1, None), block_input)
    shortcut = net.add(f"{name}/shortcut_norm", norm)
    net.add(f"{name}/add", Add(), main, shortcut)
    net.add(f"{name}/relu2", Activate(activation="relu"))


def finish_block(net: NetworkBuilder, index: int, word: str = "block") -> None:
    """Tap the map, then halve it, rounded down as in the publications."""
    net.tap(f"{word}{index}")
    net.add(f"{word}{index}/pool", Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid"))


def head_layer(options: LightNetOptions, num_classes: int, is_light: bool) -> Layer:
    """Declare the classifier: LightDense or Dense."""
    if is_light:
        return LightDense(units=num_classes, rank=options.head_rank, scale=options.scale)
    return Dense(units=num_classes)


def finish_network(net: NetworkBuilder, dropout: float, head: Layer) -> Network:
    """Add global average pool, dropout if its rate is above 0, and classifier; then build."""
    net.add("pool", GlobalPool())
    if dropout:
        net.add("dropout", Dropout(rate=dropout))
    net.add("head", head)
    return net.build()
