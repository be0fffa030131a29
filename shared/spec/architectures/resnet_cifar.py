"""The CIFAR ResNet of the L2T-ww study: 6n + 2 layers for 32x32 images, 32 for n = 5.

Differs from the CIFAR ResNet of arXiv 1512.03385 by a bias in the first convolution and by
shortcuts with a 1x1 convolution and batch norm. Padding is symmetric, also at stride 2. Names are
those of the published weights.
"""

from pydantic import Field

from poc.shared.spec.layers import Activate, Add, BatchNorm, Conv2D, Dense, GlobalPool, Shape
from poc.shared.spec.network import Network, NetworkBuilder
from poc.shared.spec.settings import Settings

NORM = BatchNorm(momentum=0.9, epsilon=1e-5)
RELU = Activate(activation="relu")
NUM_GROUPS = 3


class CifarResNetOptions(Settings):
    """Options of the CIFAR ResNet."""

    depth: int = Field(
        32, ge=8, multiple_of=2, description="layers: 6n + 2, so 20, 32, 44, 56, 110"
    )
    width: int = Field(16, ge=1, description="channels of the first group")


def cifar_resnet(options: CifarResNetOptions, input_shape: Shape, num_classes: int) -> Network:
    """Convolution 3x3, three groups of basic blocks, global average pool, classifier.

    Tap `tap<i>` is the output of block i, counted from 0: the study uses 4, 9 and 14.
    """
    net = NetworkBuilder("cifar_resnet", input_shape)
    repeats = (options.depth - 2) // (2 * NUM_GROUPS)
    net.add("conv1", convolution(options.width, use_bias=True))
    net.add("bn1", NORM)
    net.add("relu1", RELU)
    for group in range(NUM_GROUPS):
        for index in range(repeats):
            name = f"blocks{2 * group + 2}/{index - 1}" if index else f"block{2 * group + 1}"
            add_block(net, name, options.width * 2**group, 2 if group and not index else 1)
            net.tap(f"tap{group * repeats + index}")
    net.add("pool", GlobalPool())
    head = Dense(units=num_classes, initializer="torch_uniform", bias_initializer="torch_uniform")
    net.add("fc", head)
    return net.build()


def add_block(net: NetworkBuilder, name: str, filters: int, strides: int) -> None:
    """3x3, norm, ReLU, 3x3, norm; plus the shortcut; ReLU."""
    source = shortcut = net.latest
    if strides > 1:
        net.add(f"{name}/downsample/0", convolution(filters, size=1, strides=strides))
        shortcut = net.add(f"{name}/downsample/1", NORM)
    net.add(f"{name}/conv1", convolution(filters, strides=strides), source)
    net.add(f"{name}/bn1", NORM)
    net.add(f"{name}/relu1", RELU)
    net.add(f"{name}/conv2", convolution(filters))
    main = net.add(f"{name}/bn2", NORM)
    net.add(f"{name}/add", Add(), main, shortcut)
    net.add(f"{name}/relu2", RELU)


def convolution(filters: int, *, size: int = 3, strides: int = 1, use_bias: bool = False) -> Conv2D:
    """Square convolution, padded on both sides alike."""
    pads = (size // 2, size // 2)
    return Conv2D(
        filters=filters,
        kernel_size=(size, size),
        strides=(strides, strides),
        padding=(pads, pads),
        use_bias=use_bias,
        initializer="kaiming_normal_fan_out",
        bias_initializer="torch_uniform",
    )
