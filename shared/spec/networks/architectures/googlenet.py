"""GoogLeNet, or Inception v1 (arXiv 1409.4842), in the form that a course trains on Fashion-MNIST.

Every convolution has a bias and a ReLU, and padding is TensorFlow's "same". The course's form has a
batch norm after two stem convolutions. The paper's form has none; its local response normalisation
has no parameters and is left out. Initial weights and batch norm are Keras' defaults, since the
course names no others.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.merging import Concatenate
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

# Table 1 of the paper: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection.
MODULES: Mapping[str, tuple[int, int, int, int, int, int]] = MappingProxyType(
    {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }
)
POOL_AFTER = ("3b", "4e")
AUXILIARY_AFTER = ("4a", "4d")
AUXILIARY_WINDOW = 5
AUXILIARY_DROPOUT = 0.7


class GoogLeNetOptions(Settings):
    """Options of GoogLeNet, between the course's form and the paper's."""

    batch_norm: Literal["stem", "none"] = Field(
        "stem",
        description="place of batch norms; stem: after two stem convolutions, as in the course; "
        "none: nowhere, as in the paper",
    )
    pool_size: Literal[2, 3] = Field(
        3, description="window of the four pools that halve the map, in pixels"
    )
    dropout: float = Field(
        0.4, ge=0, lt=1, description="dropout rate before the classifier; 0.4 in the paper"
    )
    auxiliary: bool = Field(
        False, description="add two classifiers for training, after modules 4a and 4d"
    )
    auxiliary_weight: float = Field(
        0.3, gt=0, description="weight of the loss of each auxiliary classifier"
    )


class InceptionModuleOptions(Settings):
    """Options of a single module, the course's example for counting operations."""

    form: Literal["naive", "reduced"] = Field(
        "naive",
        description="form of the module; reduced: with 1x1 convolutions before 3x3 and 5x5 and "
        "after the pool",
    )
    head: Literal["dense", "none"] = Field(
        "dense",
        description="layer after the module; none: only to count the module, which cannot train",
    )


def googlenet(options: GoogLeNetOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare GoogLeNet: stem, nine modules, global average pool, dropout, classifier."""
    net = NetworkBuilder("googlenet", input_shape)
    add_stem(net, options)
    for name, filters in MODULES.items():
        add_module(net, f"inception{name}", filters)
        net.tap(f"inception{name}")
        if name in POOL_AFTER:
            net.add(f"pool_{name}", halving_pool(options))
        if options.auxiliary and name in AUXILIARY_AFTER:
            add_auxiliary_head(net, name, options.auxiliary_weight, num_classes)
    net.add("pool", GlobalPool())
    if options.dropout:
        net.add("dropout", Dropout(rate=options.dropout))
    net.add("head", Dense(units=num_classes))
    return net.build()


def inception_module(
    options: InceptionModuleOptions, input_shape: Shape, num_classes: int
) -> Network:
    """Declare one module with 128 filters of 1x1, 192 of 3x3 and 96 of 5x5.

    It serves to compare the cost of its two forms.
    """
    net = NetworkBuilder("inception_module", input_shape)
    if options.form == "reduced":
        add_module(net, "module", (128, 64, 192, 64, 96, 64))
    else:
        source = net.latest
        branches = [
            net.add(f"module/conv{size}x{size}", convolution(filters, size), source)
            for size, filters in ((1, 128), (3, 192), (5, 96))
        ]
        branches.append(net.add("module/pool", keeping_pool(), source))
        net.add("module/concatenate", Concatenate(), *branches)
    if options.head == "dense":
        net.add("pool", GlobalPool())
        net.add("head", Dense(units=num_classes))
    return net.build()


def add_stem(net: NetworkBuilder, options: GoogLeNetOptions) -> None:
    """Add the convolution 7x7/2 and a pool, then convolutions 1x1 and 3x3 and a pool."""
    add_stem_convolution(net, "conv1", convolution(64, 7, strides=2), options)
    net.add("stem/pool1", halving_pool(options))
    net.add("stem/conv2", convolution(64, 1))
    add_stem_convolution(net, "conv3", convolution(192, 3), options)
    net.add("stem/pool2", halving_pool(options))


def add_stem_convolution(
    net: NetworkBuilder, name: str, layer: Conv2D, options: GoogLeNetOptions
) -> None:
    """Add a convolution, batch norm if the options have it, and ReLU."""
    if options.batch_norm == "none":
        net.add(f"stem/{name}", layer)
        return
    net.add(f"stem/{name}", linear(layer))
    net.add(f"stem/{name}_norm", BatchNorm())
    net.add(f"stem/{name}_relu", Activate(activation="relu"))


def add_module(
    net: NetworkBuilder, name: str, filters: tuple[int, int, int, int, int, int]
) -> None:
    """Add four branches over one map and concatenate them: 1x1; 1x1-3x3; 1x1-5x5; pool-1x1."""
    source = net.latest
    plain, reduce3, full3, reduce5, full5, project = filters
    branch1 = net.add(f"{name}/conv1x1", convolution(plain, 1), source)
    net.add(f"{name}/reduce3x3", convolution(reduce3, 1), source)
    branch3 = net.add(f"{name}/conv3x3", convolution(full3, 3))
    net.add(f"{name}/reduce5x5", convolution(reduce5, 1), source)
    branch5 = net.add(f"{name}/conv5x5", convolution(full5, 5))
    net.add(f"{name}/pool", keeping_pool(), source)
    branch_pool = net.add(f"{name}/project", convolution(project, 1))
    net.add(f"{name}/concatenate", Concatenate(), branch1, branch3, branch5, branch_pool)


def add_auxiliary_head(net: NetworkBuilder, name: str, weight: float, num_classes: int) -> None:
    """Add an auxiliary head: average pool 5x5/3, 1x1 to 128, dense 1024, dropout, classifier.

    The pool's window is the full map if that is smaller than 5x5.
    """
    source = net.latest
    height, width, _ = net.shape(source)
    window = (min(height, AUXILIARY_WINDOW), min(width, AUXILIARY_WINDOW))
    prefix = f"auxiliary{name}"
    net.add(
        f"{prefix}/pool",
        Pool2D(kernel_size=window, strides=(3, 3), padding="valid", mode="average"),
        source,
    )
    net.add(f"{prefix}/conv", convolution(128, 1))
    net.add(f"{prefix}/flatten", Flatten())
    net.add(f"{prefix}/dense", Dense(units=1024, activation="relu"))
    net.add(f"{prefix}/dropout", Dropout(rate=AUXILIARY_DROPOUT))
    net.add(f"{prefix}/head", Dense(units=num_classes))
    net.add_auxiliary(weight)
    net.resume(source)


def convolution(filters: int, size: int, strides: int = 1) -> Conv2D:
    """Declare a square "same" convolution with bias and ReLU."""
    return Conv2D(
        filters=filters, kernel_size=(size, size), strides=(strides, strides), activation="relu"
    )


def linear(layer: Conv2D) -> Conv2D:
    """Declare the same convolution without its activation."""
    return Conv2D(filters=layer.filters, kernel_size=layer.kernel_size, strides=layer.strides)


def halving_pool(options: GoogLeNetOptions) -> Pool2D:
    """Declare a max-pool with stride 2."""
    size = options.pool_size
    return Pool2D(kernel_size=(size, size), strides=(2, 2))


def keeping_pool() -> Pool2D:
    """Declare a max-pool 3x3 with stride 1, for the inside of a module."""
    return Pool2D(kernel_size=(3, 3))
