"""EfficientNet B0 to B7 (arXiv 1905.11946) from one table and the compound-scaling rule, and Lite0.

The two lineages differ: Keras has TensorFlow's "same" padding and batch norm epsilon 1e-3,
torchvision has symmetric padding and, up to B4, epsilon 1e-5. Images come in normalised: Keras'
in-graph Rescaling and Normalization (7 values) are part of the data here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import BatchNorm, Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .inverted_residual import Block, Style, add_activated, add_block, round_filters

# Table 1 of the paper: expansion, kernel, filters, repeats, stride of the first repeat.
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
STEM_FILTERS, TOP_FILTERS = 32, 1280
INITIALIZER = "variance_scaling_fan_out"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The factors of one member of the family, its image size and its dropout."""

    width: float
    depth: float
    image_size: int
    dropout: float


VARIANTS = {
    "efficientnet_b0": Variant(width=1.0, depth=1.0, image_size=224, dropout=0.2),
    "efficientnet_b1": Variant(width=1.0, depth=1.1, image_size=240, dropout=0.2),
    "efficientnet_b2": Variant(width=1.1, depth=1.2, image_size=260, dropout=0.3),
    "efficientnet_b3": Variant(width=1.2, depth=1.4, image_size=300, dropout=0.3),
    "efficientnet_b4": Variant(width=1.4, depth=1.8, image_size=380, dropout=0.4),
    "efficientnet_b5": Variant(width=1.6, depth=2.2, image_size=456, dropout=0.4),
    "efficientnet_b6": Variant(width=1.8, depth=2.6, image_size=528, dropout=0.5),
    "efficientnet_b7": Variant(width=2.0, depth=3.1, image_size=600, dropout=0.5),
}
TENSORFLOW_NORM = BatchNorm(momentum=0.99, epsilon=1e-3)
PYTORCH_NORM = BatchNorm(momentum=0.9, epsilon=1e-5)
TORCHVISION_SMALL = ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
                     "efficientnet_b4")  # fmt: skip


class EfficientNetOptions(Settings):
    """Options of B0 to B7 and of Lite0, of which timm has both lineages."""

    lineage: Literal["keras", "torchvision"] = Field(
        "keras",
        description="library whose padding at stride 2 and epsilon and momentum of batch norm are "
        "used",
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="dropout rate before the head; none: the publication's"
    )
    drop_connect: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="rate at which the last block's branch is dropped; block b of n has b/n of it",
    )
    width: float = Field(
        1.0, gt=0, description="factor on every number of channels, besides the variant's own"
    )


Declare = Callable[[EfficientNetOptions, Shape, int], Network]


def efficientnet(name: str) -> Declare:
    """Return the function that declares one of B0 to B7."""

    def declare(options: EfficientNetOptions, input_shape: Shape, num_classes: int) -> Network:
        is_torchvision = options.lineage == "torchvision"
        is_small = is_torchvision and name in TORCHVISION_SMALL
        style = Style(
            norm=PYTORCH_NORM if is_small else TENSORFLOW_NORM,
            activation="swish",
            is_symmetric=is_torchvision,
            initializer=INITIALIZER,
        )
        return declare_network(name, VARIANTS[name], style, options, input_shape, num_classes)

    return declare


def efficientnet_lite0(
    options: EfficientNetOptions, input_shape: Shape, num_classes: int
) -> Network:
    """Declare EfficientNet-Lite0: B0 without squeeze-and-excite, with ReLU6 instead of swish."""
    is_torchvision = options.lineage == "torchvision"
    style = Style(
        norm=PYTORCH_NORM if is_torchvision else TENSORFLOW_NORM,
        activation="relu6",
        is_symmetric=is_torchvision,
        initializer=INITIALIZER,
    )
    variant = VARIANTS["efficientnet_b0"]
    return declare_network("efficientnet_lite0", variant, style, options, input_shape, num_classes)


def declare_network(
    name: str,
    variant: Variant,
    style: Style,
    options: EfficientNetOptions,
    input_shape: Shape,
    num_classes: int,
) -> Network:
    """Declare stem, seven stages, 1x1 convolution, mean, dropout and head.

    Taps `reduction1` … `reduction5` are the maps before each halving and before the mean.
    """
    variant = replace(variant, width=options.width * variant.width)
    net = NetworkBuilder(name, input_shape)
    has_squeeze = name != "efficientnet_lite0"
    add_activated(net, "stem/", round_filters(STEM_FILTERS * variant.width), 3, style, 2)
    reductions = 0
    for block_name, block in scaled_blocks(variant, options.drop_connect, has_squeeze):
        if block.stride == 2:
            reductions += 1
            net.tap(f"reduction{reductions}")
        add_block(net, block_name, block, style)
    add_activated(net, "top/", round_filters(TOP_FILTERS * variant.width), 1, style)
    net.tap(f"reduction{reductions + 1}")
    net.add("pool", GlobalPool())
    dropout = variant.dropout if options.dropout is None else options.dropout
    if dropout:
        net.add("dropout", Dropout(rate=dropout))
    net.add("head", Dense(units=num_classes, initializer="uniform_fan_out"))
    return net.build()


def scaled_blocks(
    variant: Variant, drop_connect: float, has_squeeze: bool
) -> list[tuple[str, Block]]:
    """Return names and blocks, scaled by the variant's factors.

    Repeats are rounded up, filters to multiples of 8; drop rates grow from block to block.
    """
    rows = [
        (
            f"stage{stage}/block{repeat + 1}",
            expansion,
            kernel_size,
            filters,
            stride if repeat == 0 else 1,
        )
        for stage, (expansion, kernel_size, filters, repeats, stride) in enumerate(STAGES, start=1)
        for repeat in range(math.ceil(repeats * variant.depth))
    ]
    return [
        (
            name,
            Block(
                expansion=expansion,
                kernel_size=kernel_size,
                stride=stride,
                filters=round_filters(filters * variant.width),
                has_squeeze=has_squeeze,
                drop_rate=drop_connect * index / len(rows),
            ),
        )
        for index, (name, expansion, kernel_size, filters, stride) in enumerate(rows)
    ]
