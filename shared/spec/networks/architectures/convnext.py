"""ConvNeXt (arXiv 2201.03545), tiny, small and base, as its own code and the libraries have it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D, PointwiseConv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import LayerNorm, LayerScale
from poc.shared.spec.networks.layers.merging import Add
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.layers.residual import StochasticDepth
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

INITIALIZER = "normal_fiftieth"
NORM = LayerNorm(epsilon=1e-6)
EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One member of the family: blocks and channels of its stages, and the last block's rate."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stochastic_depth: float


# Section 3 and appendix A.1 of the paper.
VARIANTS = {
    "convnext_tiny": Variant(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), stochastic_depth=0.1),
    "convnext_small": Variant(
        depths=(3, 3, 27, 3), widths=(96, 192, 384, 768), stochastic_depth=0.4
    ),
    "convnext_base": Variant(
        depths=(3, 3, 27, 3), widths=(128, 256, 512, 1024), stochastic_depth=0.5
    ),
}


Depth = Annotated[int, Field(ge=1, le=100)]
Width = Annotated[int, Field(ge=1)]


class ConvNeXtOptions(Settings):
    """Options of ConvNeXt."""

    depths: tuple[Depth, Depth, Depth, Depth] | None = Field(
        None,
        examples=[[1, 1, 3, 1]],
        description="number of blocks of each stage, 1 to 100; none: the publication's",
    )
    widths: tuple[Width, Width, Width, Width] | None = Field(
        None,
        examples=[[16, 32, 64, 128]],
        description="number of channels of each stage; none: the publication's",
    )
    stochastic_depth: float | None = Field(
        None,
        ge=0,
        lt=1,
        examples=[0.2],
        description="rate at which the last block's branch is dropped, per example; it grows "
        "linearly from 0 in the first block; none: the publication's",
    )
    layer_scale: float = Field(
        1e-6, ge=0, description="first value of the factors of each branch; 0: no factors"
    )


Declare = Callable[[ConvNeXtOptions, Shape, int], Network]


def convnext(name: str) -> Declare:
    """Return the function that declares one variant.

    Taps `stage1` … `stage4` are the maps that each stage returns.
    """

    def declare(options: ConvNeXtOptions, input_shape: Shape, num_classes: int) -> Network:
        variant = VARIANTS[name]
        net = NetworkBuilder(name, input_shape)
        depths, widths = options.depths or variant.depths, options.widths or variant.widths
        rates = drop_rates(depths, options.stochastic_depth, variant)
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            add_reduction(net, stage, width)
            for block in range(1, depth + 1):
                add_block(net, f"stage{stage}/block{block}", next(rates), options.layer_scale)
            net.tap(f"stage{stage}")
        net.add("pool", GlobalPool())
        net.add("norm", NORM)
        net.add("head", Dense(units=num_classes, initializer=INITIALIZER))
        return net.build()

    return declare


def drop_rates(depths: tuple[int, ...], rate: float | None, variant: Variant) -> Iterator[float]:
    """Yield the rate of each block: linear from 0 to the last one's."""
    last, count = variant.stochastic_depth if rate is None else rate, sum(depths)
    return (last * index / max(count - 1, 1) for index in range(count))


def add_reduction(net: NetworkBuilder, stage: int, width: int) -> None:
    """Add what is before a stage: patches of 4x4 and a norm, or a norm and patches of 2x2."""
    size = 4 if stage == 1 else 2
    patches = Conv2D(
        filters=width,
        kernel_size=(size, size),
        strides=(size, size),
        padding="valid",
        initializer=INITIALIZER,
    )
    if stage == 1:
        net.add("stem/conv", patches)
        net.add("stem/norm", NORM)
    else:
        net.add(f"stage{stage}/downsample/norm", NORM)
        net.add(f"stage{stage}/downsample/conv", patches)


def add_block(net: NetworkBuilder, name: str, rate: float, layer_scale: float) -> None:
    """Add a block: 7x7 depthwise, norm, expansion by 4 with GELU, projection, factors, sum."""
    shortcut = net.latest
    width, pads = net.shape(shortcut)[-1], (3, 3)
    depthwise = DepthwiseConv2D(kernel_size=(7, 7), padding=(pads, pads), initializer=INITIALIZER)
    expand = PointwiseConv2D(units=EXPANSION * width, activation="gelu", initializer=INITIALIZER)
    first = net.add(f"{name}/depthwise_conv", depthwise)
    net.add(f"{name}/norm", NORM)
    net.add(f"{name}/expand_conv", expand)
    net.add(f"{name}/project_conv", PointwiseConv2D(units=width, initializer=INITIALIZER))
    if layer_scale:
        net.add(f"{name}/layer_scale", LayerScale(initial_value=layer_scale))
    if rate:
        drop = StochasticDepth(survival=1 - rate, mode="row", scaling="train")
        net.add(f"{name}/stochastic_depth", drop)
    net.add(f"{name}/add", Add(), net.latest, shortcut)
    net.close_block(name, first, shortcut, is_identity=True)
