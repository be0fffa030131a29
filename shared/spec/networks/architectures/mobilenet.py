"""MobileNetV2 (arXiv 1801.04381) and MobileNetV3 (arXiv 1905.02244), small and large.

Both are declared in the lineage of Keras or of torchvision.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.declaration import Activation, Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import BatchNorm, Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .inverted_residual import Block, Style, add_activated, add_block, round_filters

# Table 2 of the paper of MobileNetV2: expansion, filters, repeats, stride of the first repeat.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STYLES = {
    "keras": Style(
        norm=BatchNorm(momentum=0.999, epsilon=1e-3),
        activation="relu6",
        is_symmetric=False,
        initializer="glorot_uniform",
    ),
    "torchvision": Style(
        norm=BatchNorm(momentum=0.9, epsilon=1e-5),
        activation="relu6",
        is_symmetric=True,
        initializer="kaiming_normal_fan_out",
    ),
}


class MobileNetV2Options(Settings):
    """Options of MobileNetV2."""

    lineage: Literal["keras", "torchvision"] = Field(
        "keras",
        description="library whose padding at stride 2, batch norm, initial weights and dropout "
        "are used",
    )
    width: float = Field(1.0, gt=0, description="factor on every number of channels")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="dropout rate before the head; none: 0 with keras, 0.2 with torchvision",
    )


def mobilenet_v2(options: MobileNetV2Options, input_shape: Shape, num_classes: int) -> Network:
    """Declare MobileNetV2: stem, 17 inverted residuals, 1x1 convolution to 1280, mean, head.

    Taps `reduction1` … `reduction5` are the maps before each halving and before the mean.
    """
    net, style = NetworkBuilder("mobilenet_v2", input_shape), STYLES[options.lineage]
    add_activated(net, "stem/", round_filters(32 * options.width), 3, style, 2)
    index = reductions = 0
    for expansion, filters, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            if stride == 2:
                reductions += 1
                net.tap(f"reduction{reductions}")
            block = Block(
                expansion=expansion,
                kernel_size=3,
                stride=stride,
                filters=round_filters(filters * options.width),
            )
            index += 1
            add_block(net, f"block{index}", block, style)
    add_activated(net, "top/", round_filters(1280 * max(1.0, options.width)), 1, style)
    net.tap(f"reduction{reductions + 1}")
    net.add("pool", GlobalPool())
    is_torchvision = options.lineage == "torchvision"
    dropout = options.dropout if options.dropout is not None else 0.2 * is_torchvision
    if dropout:
        net.add("dropout", Dropout(rate=dropout))
    initializer = "normal_hundredth" if is_torchvision else "glorot_uniform"
    net.add("head", Dense(units=num_classes, initializer=initializer))
    return net.build()


# Tables 1 and 2 of the paper of MobileNetV3: kernel, channels after the expansion, filters, whether
# there is a squeeze-and-excite, activation, stride.
Row = tuple[int, int, int, bool, Activation, int]
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2),
    (3, 200, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1),
    (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 160, True, "hard_swish", 2),
    (5, 960, 160, True, "hard_swish", 1),
    (5, 960, 160, True, "hard_swish", 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 240, 40, True, "hard_swish", 1),
    (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1),
    (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1),
    (5, 576, 96, True, "hard_swish", 1),
)
STEM_FILTERS = 16


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One member of the family: its blocks, and the units of its first dense layer."""

    rows: tuple[Row, ...]
    units: int


V3_VARIANTS = {
    "mobilenet_v3_small": Variant(rows=SMALL, units=1024),
    "mobilenet_v3_large": Variant(rows=LARGE, units=1280),
}
GATE: dict[str, Activation] = {"gate": "hard_sigmoid", "squeeze_activation": "relu"}
STYLES_V3 = {
    "torchvision": Style(
        norm=BatchNorm(momentum=0.99, epsilon=1e-3),
        activation="hard_swish",
        is_symmetric=True,
        initializer="kaiming_normal_fan_out",
        **GATE,
    ),
    "keras": Style(
        norm=BatchNorm(momentum=0.999, epsilon=1e-3),
        activation="hard_swish",
        is_symmetric=False,
        initializer="glorot_uniform",
        **GATE,
    ),
}


class MobileNetV3Options(Settings):
    """Options of MobileNetV3."""

    lineage: Literal["torchvision", "keras"] = Field(
        "torchvision",
        description="library whose padding at stride 2, batch norm, initial weights and rule of "
        "the width are used",
    )
    width: float = Field(1.0, gt=0, description="factor on every number of channels")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate before the head")


Declare = Callable[[MobileNetV3Options, Shape, int], Network]


def mobilenet_v3(name: str) -> Declare:
    """Return the function that declares one variant.

    Taps `reduction1` … `reduction5` are the maps before each halving and before the mean.
    """

    def declare(options: MobileNetV3Options, input_shape: Shape, num_classes: int) -> Network:
        net, style = NetworkBuilder(name, input_shape), STYLES_V3[options.lineage]
        is_keras = options.lineage == "keras"
        # Keras widens neither the stem, nor the first dense layer below a width of 1.
        stem = STEM_FILTERS if is_keras else round_filters(STEM_FILTERS * options.width)
        units_width = max(options.width, 1.0) if is_keras else options.width
        add_activated(net, "stem/", stem, 3, style, 2)
        add_blocks(net, name, style, options)
        add_activated(net, "top/", 6 * net.shape(net.latest)[-1], 1, style)
        net.tap("reduction5")
        net.add("pool", GlobalPool())
        initializer = "glorot_uniform" if is_keras else "normal_hundredth"
        units = round_filters(V3_VARIANTS[name].units * units_width)
        hidden = Dense(units=units, activation="hard_swish", initializer=initializer)
        net.add("dense", hidden)
        if options.dropout:
            net.add("dropout", Dropout(rate=options.dropout))
        net.add("head", Dense(units=num_classes, initializer=initializer))
        return net.build()

    return declare


def add_blocks(net: NetworkBuilder, name: str, style: Style, options: MobileNetV3Options) -> None:
    """Add `block1`, …, of which each stride of 2 ends a tap."""
    reductions, previous = 0, STEM_FILTERS
    for index, row in enumerate(V3_VARIANTS[name].rows, start=1):
        kernel_size, expanded, filters, has_squeeze, activation, stride = row
        if stride == 2:
            reductions += 1
            net.tap(f"reduction{reductions}")
        width = options.width
        if options.lineage == "keras":
            # Keras widens the ratio's input, which is rounded already.
            width = net.shape(net.latest)[-1] / previous
        channels = round_filters(expanded * width)
        block = Block(
            expanded=channels,
            squeezed=round_filters(channels // 4),
            kernel_size=kernel_size,
            stride=stride,
            filters=round_filters(filters * options.width),
            has_squeeze=has_squeeze,
        )
        add_block(net, f"block{index}", block, replace(style, activation=activation))
        previous = filters
