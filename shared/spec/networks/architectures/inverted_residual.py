"""The common block of MobileNetV2 and EfficientNet: expand, filter each channel, project, add.

Sources: arXiv 1801.04381 (inverted residual with a linear bottleneck), arXiv 1905.11946 (the same
with squeeze-and-excite and swish, "MBConv").
"""

from dataclasses import dataclass

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D
from poc.shared.spec.networks.layers.declaration import Activation
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.merging import Add, Multiply
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.layers.residual import StochasticDepth
from poc.shared.spec.networks.layers.window import Padding


@dataclass(frozen=True, kw_only=True)
class Style:
    """The choices of a lineage: batch norm, activation, padding rule, initial kernels.

    `is_symmetric` pads (k - 1) / 2 on every side, as torchvision does. Otherwise padding is
    TensorFlow's "same", which at stride 2 puts the odd pixel after. The two only agree at stride 1
    and on odd sizes. `gate` and `squeeze_activation` (none: the activation) are those of
    squeeze-and-excite.
    """

    norm: BatchNorm
    activation: Activation
    is_symmetric: bool
    initializer: str
    gate: Activation = "sigmoid"
    squeeze_activation: Activation | None = None

    def padding(self, kernel_size: int) -> Padding:
        """Return the padding of a square kernel."""
        pads = ((kernel_size - 1) // 2,) * 2
        return (pads, pads) if self.is_symmetric else "same"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One inverted residual; squeeze-and-excite narrows to a quarter of the input's channels.

    `expanded` and `squeezed` are numbers of channels that a table names itself.
    """

    expansion: int = 1
    kernel_size: int
    stride: int
    filters: int
    has_squeeze: bool = False
    drop_rate: float = 0.0
    expanded: int | None = None
    squeezed: int | None = None


def add_conv_norm(
    net: NetworkBuilder, prefix: str, filters: int, kernel_size: int, style: Style, stride: int = 1
) -> None:
    """Add a convolution without bias and a batch norm; their names start with `prefix`."""
    net.add(
        f"{prefix}conv",
        Conv2D(
            filters=filters,
            kernel_size=(kernel_size, kernel_size),
            strides=(stride, stride),
            padding=style.padding(kernel_size),
            use_bias=False,
            initializer=style.initializer,
        ),
    )
    net.add(f"{prefix}norm", style.norm)


def add_activated(
    net: NetworkBuilder, prefix: str, filters: int, kernel_size: int, style: Style, stride: int = 1
) -> None:
    """Add a convolution without bias, a batch norm and the activation."""
    add_conv_norm(net, prefix, filters, kernel_size, style, stride)
    net.add(f"{prefix}activation", Activate(activation=style.activation))


def add_block(net: NetworkBuilder, name: str, block: Block, style: Style) -> None:
    """Add expansion, depthwise convolution, squeeze-and-excite, linear projection and sum.

    There is no expansion by 1. The input is added if the stride is 1 and the number of channels
    does not change.
    """
    block_input = net.latest
    in_channels = net.shape(block_input)[-1]
    expanded = block.expanded or block.expansion * in_channels
    if expanded != in_channels:
        add_activated(net, f"{name}/expand_", expanded, 1, style)
    net.add(
        f"{name}/depthwise_conv",
        DepthwiseConv2D(
            kernel_size=(block.kernel_size, block.kernel_size),
            strides=(block.stride, block.stride),
            padding=style.padding(block.kernel_size),
            use_bias=False,
            initializer=style.initializer,
        ),
    )
    net.add(f"{name}/depthwise_norm", style.norm)
    net.add(f"{name}/depthwise_activation", Activate(activation=style.activation))
    if block.has_squeeze:
        add_squeeze_excite(net, name, block.squeezed or max(1, in_channels // 4), style)
    add_conv_norm(net, f"{name}/project_", block.filters, 1, style)
    if block.stride == 1 and block.filters == in_channels:
        if block.drop_rate:
            layer = StochasticDepth(survival=1 - block.drop_rate, mode="row", scaling="train")
            net.add(f"{name}/drop_path", layer)
        net.add(f"{name}/add", Add(), net.latest, block_input)


def add_squeeze_excite(net: NetworkBuilder, name: str, filters: int, style: Style) -> None:
    """Add a factor per channel, gate(conv(activation(conv(mean)))), with 1x1 convolutions.

    Both convolutions have biases.
    """
    maps = net.latest
    net.add(f"{name}/se_squeeze", GlobalPool(keep_axes=True))
    for part, width, activation in (
        ("reduce", filters, style.squeeze_activation or style.activation),
        ("expand", net.shape(maps)[-1], style.gate),
    ):
        layer = Conv2D(
            filters=width,
            kernel_size=(1, 1),
            activation=activation,
            initializer=style.initializer,
        )
        net.add(f"{name}/se_{part}", layer)
    net.add(f"{name}/se_excite", Multiply(), maps, net.latest)


def round_filters(filters: float, divisor: int = 8) -> int:
    """Return the nearest multiple of `divisor`, at least one, at most 10 % below `filters`."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded
