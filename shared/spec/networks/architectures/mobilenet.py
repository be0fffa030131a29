"""MobileNetV2 (arXiv 1801.04381), in the lineage of Keras or of torchvision."""

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

# Table 2 of the paper: expansion, filters, repeats, stride of the first repeat.
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
