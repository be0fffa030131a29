"""The CIFAR ResNet of the L2T-ww publication: 6n + 2 layers for 32x32 images, 32 for n = 5.

Differs from the CIFAR ResNet of arXiv 1512.03385 by a bias in the first convolution and by
shortcuts with a 1x1 convolution and batch norm. Padding is symmetric, also at stride 2.
"""

from pydantic import Field

from poc.shared.spec.layers import Activate, Add, BatchNorm, Conv2D, Dense, GlobalPool, Shape
from poc.shared.spec.network import Network, NetworkBuilder
from poc.shared.spec.settings import Settings

WIDTHS = (16, 32, 64)
NORM = BatchNorm(momentum=0.9, epsilon=1e-5)
RELU = Activate(activation="relu")


class ResNetCifarOptions(Settings):
    """Options of the CIFAR ResNet."""

    blocks_per_stage: int = Field(5, ge=1, description="n of the 6n + 2 layers")


def resnet32_cifar(options: ResNetCifarOptions, input_shape: Shape, num_classes: int) -> Network:
    """Stem, three stages of basic blocks (16, 32, 64 filters), mean, head.

    Taps `block0` … `block14`: each block after its last ReLU; `reduction1` … `reduction3`: the last
    one of each stage.
    """
    net = NetworkBuilder("resnet32_cifar", input_shape)
    net.add("stem/conv", convolution(WIDTHS[0], 3, use_bias=True))
    net.add("stem/norm", NORM)
    net.add("stem/relu", RELU)
    for stage, filters in enumerate(WIDTHS, start=1):
        for index in range(options.blocks_per_stage):
            stride = 2 if stage > 1 and index == 0 else 1
            add_basic_block(net, f"stage{stage}/block{index + 1}", filters, stride)
            net.tap(f"block{(stage - 1) * options.blocks_per_stage + index}")
        net.tap(f"reduction{stage}")
    net.add("pool", GlobalPool())
    head = Dense(units=num_classes, initializer="torch_uniform", bias_initializer="torch_uniform")
    net.add("head", head)
    return net.build()


def add_basic_block(net: NetworkBuilder, name: str, filters: int, stride: int) -> None:
    """conv, norm, ReLU, conv, norm; plus the input, which a stride sends through conv and norm."""
    shortcut = net.latest
    net.add(f"{name}/conv1", convolution(filters, 3, stride=stride))
    net.add(f"{name}/norm1", NORM)
    net.add(f"{name}/relu1", RELU)
    net.add(f"{name}/conv2", convolution(filters, 3))
    main = net.add(f"{name}/norm2", NORM)
    if stride > 1:
        net.add(f"{name}/shortcut_conv", convolution(filters, 1, stride=stride), shortcut)
        shortcut = net.add(f"{name}/shortcut_norm", NORM)
    net.add(f"{name}/add", Add(), main, shortcut)
    net.add(f"{name}/relu2", RELU)


def convolution(
    filters: int, kernel_size: int, *, stride: int = 1, use_bias: bool = False
) -> Conv2D:
    """Square convolution with symmetric padding."""
    pads = (kernel_size // 2, kernel_size // 2)
    return Conv2D(
        filters=filters,
        kernel_size=(kernel_size, kernel_size),
        strides=(stride, stride),
        padding=(pads, pads),
        use_bias=use_bias,
        initializer="kaiming_normal_fan_out",
        bias_initializer="torch_uniform",
    )
