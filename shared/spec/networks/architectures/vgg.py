"""VGG16 (arXiv 1409.1556) with and without batch norm, and the nine-layer VGG of L2T-ww.

Convolutions are 3x3 with biases and padding 1, pools 2x2. Keras and torchvision agree on all of it,
so there is no lineage. Convolutions keep their biases in front of a batch norm, as in torchvision.
"""

from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

VGG16_STAGES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
VGG9_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
POOL = Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid")
PADS = ((1, 1), (1, 1))


class WidthOptions(Settings):
    """Options of every VGG."""

    width: float = Field(1.0, gt=0, description="factor on every number of channels")


class VGG9Options(WidthOptions):
    """Options of VGG9-BN."""

    last_pool: bool = Field(
        True,
        description="max-pool after the last stage, as in the code of L2T-ww; false: the form of "
        "runs before 2026-11-28",
    )


class VGGOptions(WidthOptions):
    """Options of VGG16 and VGG16-BN; `width` acts on the dense layers too."""

    head: Literal["dense", "global_average"] = Field(
        "dense",
        description="layers before the classifier; dense: two dense layers of 4096 units; "
        "global_average: the mean of the last map",
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="dropout rate after each dense layer of 4096 units; 0 in Keras",
    )


def vgg16(options: VGGOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare VGG16: 13 convolutions in five stages, then the head."""
    return declare_vgg16("vgg16", False, options, input_shape, num_classes)


def vgg16_bn(options: VGGOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare VGG16 with batch norm after every convolution."""
    return declare_vgg16("vgg16_bn", True, options, input_shape, num_classes)


def vgg9_bn(options: VGG9Options, input_shape: Shape, num_classes: int) -> Network:
    """Declare the target of L2T-ww: eight convolutions with batch norm, mean, head.

    It is made for 32x32 images: the last max-pool leaves one pixel, and the mean over it changes
    nothing.
    """
    net = NetworkBuilder("vgg9_bn", input_shape)
    add_stages(net, VGG9_STAGES, options.width, has_norm=True, has_last_pool=options.last_pool)
    net.add("pool", GlobalPool())
    net.add("head", Dense(units=num_classes, initializer="normal_hundredth"))
    return net.build()


def declare_vgg16(
    name: str, has_norm: bool, options: VGGOptions, input_shape: Shape, num_classes: int
) -> Network:
    """Declare VGG16 with or without batch norm.

    Taps `reduction1` … `reduction5` are the maps before each pool, after the ReLU.
    """
    net = NetworkBuilder(name, input_shape)
    is_dense = options.head == "dense"
    add_stages(net, VGG16_STAGES, options.width, has_norm=has_norm, has_last_pool=True)
    if is_dense:
        net.add("flatten", Flatten())
        for index in (1, 2):
            units = scaled(4096, options.width)
            layer = Dense(units=units, activation="relu", initializer="normal_hundredth")
            net.add(f"dense{index}", layer)
            if options.dropout:
                net.add(f"dropout{index}", Dropout(rate=options.dropout))
    else:
        net.add("pool", GlobalPool())
    net.add("head", Dense(units=num_classes, initializer="normal_hundredth"))
    return net.build()


def add_stages(
    net: NetworkBuilder,
    stages: tuple[tuple[int, ...], ...],
    width: float,
    *,
    has_norm: bool,
    has_last_pool: bool,
) -> None:
    """Add the convolutions of each stage, its tap and its pool."""
    for stage, widths in enumerate(stages, start=1):
        for index, filters in enumerate(widths, start=1):
            layer = Conv2D(
                filters=scaled(filters, width),
                kernel_size=(3, 3),
                padding=PADS,
                activation=None if has_norm else "relu",
                initializer="kaiming_normal_fan_out",
            )
            net.add(f"stage{stage}/conv{index}", layer)
            if has_norm:
                net.add(f"stage{stage}/norm{index}", BatchNorm(momentum=0.9, epsilon=1e-5))
                net.add(f"stage{stage}/relu{index}", Activate(activation="relu"))
        net.tap(f"reduction{stage}")
        if has_last_pool or stage < len(stages):
            net.add(f"stage{stage}/pool", POOL)


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, at least 1."""
    return max(1, round(channels * width))
