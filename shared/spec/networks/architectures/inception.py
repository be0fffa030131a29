"""InceptionV3 (arXiv 1512.00567) in the Keras lineage.

No convolution has a bias; batch norm without gamma and ReLU follow each. An average pool with
"same" padding takes the mean over real pixels only; torchvision counts the padded zeros.
"""

from collections.abc import Sequence

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.merging import Concatenate
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.layers.window import Padding
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings


class InceptionOptions(Settings):
    """Options of the Inception family."""

    width: float = Field(1.0, gt=0, description="factor on every number of filters")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate between the pool and the head"
    )


class InceptionBuilder(NetworkBuilder):
    """A builder that adds units of convolution, batch norm and ReLU.

    A convolution is a tuple (filters, height, width), a branch is a list of them.
    """

    def __init__(
        self, name: str, input_shape: Shape, options: InceptionOptions, norm: BatchNorm
    ) -> None:
        super().__init__(name, input_shape)
        self._options, self._norm = options, norm

    def filters(self, count: int) -> int:
        """Return the number of filters times the width factor, at least 1."""
        return max(1, round(count * self._options.width))

    def unit(
        self,
        name: str,
        kernel: tuple[int, int, int],
        source: str | None = None,
        *,
        strides: int = 1,
        padding: Padding = "same",
    ) -> str:
        """Add convolution, batch norm and ReLU; return the name of the ReLU."""
        filters, height, width = kernel
        layer = Conv2D(
            filters=self.filters(filters),
            kernel_size=(height, width),
            strides=(strides, strides),
            padding=padding,
            use_bias=False,
        )
        self.add(name, layer, source or self.latest)
        self.add(f"{name}_norm", self._norm)
        return self.add(f"{name}_relu", Activate(activation="relu"))

    def branch(
        self,
        name: str,
        kernels: Sequence[tuple[int, int, int]],
        source: str,
        *,
        halves: bool = False,
    ) -> str:
        """Add units one after the other; `halves` gives the last one stride 2 without padding."""
        latest = source
        for index, kernel in enumerate(kernels, start=1):
            is_halving = halves and index == len(kernels)
            latest = self.unit(
                f"{name}/{index}",
                kernel,
                latest,
                strides=2 if is_halving else 1,
                padding="valid" if is_halving else "same",
            )
        return latest

    def pooled_branch(self, name: str, filters: int, source: str) -> str:
        """Add an average pool 3x3 over real pixels, then a 1x1 unit."""
        self.add(f"{name}/pool", Pool2D(kernel_size=(3, 3), mode="average"), source)
        return self.unit(f"{name}/project", (filters, 1, 1))

    def halving_pool(self, name: str, source: str | None = None) -> str:
        """Add a max-pool 3x3 with stride 2, without padding."""
        pool = Pool2D(kernel_size=(3, 3), strides=(2, 2), padding="valid")
        return self.add(name, pool, source or self.latest)

    def join(self, name: str, *branches: str) -> str:
        """Add the concatenation of branches and publish it as the tap `name`."""
        joined = self.add(f"{name}/concatenate", Concatenate(), *branches)
        self.tap(name)
        return joined

    def finish(self, num_classes: int) -> Network:
        """Add global average pool, dropout if its rate is above 0, and classifier; then build."""
        self.add("pool", GlobalPool())
        if self._options.dropout:
            self.add("dropout", Dropout(rate=self._options.dropout))
        self.add("head", Dense(units=num_classes))
        return self.build()


def inception_v3(options: InceptionOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare InceptionV3: stem, eleven mixed modules, global average pool, classifier."""
    net = InceptionBuilder("inception_v3", input_shape, options, BatchNorm(scale=False))
    add_stem(net)
    for index, projection in enumerate((32, 64, 64)):
        add_mixed_5x5(net, f"mixed{index}", projection)
    add_first_reduction(net, "mixed3")
    for index, inner in enumerate((128, 160, 160, 192), start=4):
        add_mixed_7x7(net, f"mixed{index}", inner)
    add_second_reduction(net, "mixed8")
    for index in (9, 10):
        add_mixed_split(net, f"mixed{index}")
    return net.finish(num_classes)


def add_stem(net: InceptionBuilder) -> None:
    """Add the stem, 299x299x3 -> 35x35x192, which Inception-ResNet v2 has too."""
    net.unit("stem/conv1", (32, 3, 3), strides=2, padding="valid")
    net.unit("stem/conv2", (32, 3, 3), padding="valid")
    net.unit("stem/conv3", (64, 3, 3))
    net.halving_pool("stem/pool1")
    net.unit("stem/conv4", (80, 1, 1), padding="valid")
    net.unit("stem/conv5", (192, 3, 3), padding="valid")
    net.halving_pool("stem/pool2")
    net.tap("stem")


def add_mixed_5x5(net: InceptionBuilder, name: str, projection: int, plain: int = 64) -> None:
    """Add four branches: 1x1; 1x1-5x5; 1x1-3x3-3x3; average pool-1x1."""
    source = net.latest
    net.join(
        name,
        net.branch(f"{name}/plain", [(plain, 1, 1)], source),
        net.branch(f"{name}/five", [(48, 1, 1), (64, 5, 5)], source),
        net.branch(f"{name}/double", [(64, 1, 1), (96, 3, 3), (96, 3, 3)], source),
        net.pooled_branch(f"{name}/pooled", projection, source),
    )


def add_first_reduction(net: InceptionBuilder, name: str) -> None:
    """Add three halving branches, 35x35 -> 17x17: 3x3/2; 1x1-3x3-3x3/2; pool/2."""
    source = net.latest
    net.join(
        name,
        net.branch(f"{name}/three", [(384, 3, 3)], source, halves=True),
        net.branch(f"{name}/double", [(64, 1, 1), (96, 3, 3), (96, 3, 3)], source, halves=True),
        net.halving_pool(f"{name}/pool", source),
    )


def add_mixed_7x7(net: InceptionBuilder, name: str, inner: int) -> None:
    """Add four branches: 1x1; 1x1-1x7-7x1; 1x1-7x1-1x7-7x1-1x7; average pool-1x1."""
    source = net.latest
    single = [(inner, 1, 1), (inner, 1, 7), (192, 7, 1)]
    double = [(inner, 1, 1), (inner, 7, 1), (inner, 1, 7), (inner, 7, 1), (192, 1, 7)]
    net.join(
        name,
        net.branch(f"{name}/plain", [(192, 1, 1)], source),
        net.branch(f"{name}/seven", single, source),
        net.branch(f"{name}/double", double, source),
        net.pooled_branch(f"{name}/pooled", 192, source),
    )


def add_second_reduction(net: InceptionBuilder, name: str) -> None:
    """Add three halving branches, 17x17 -> 8x8: 1x1-3x3/2; 1x1-1x7-7x1-3x3/2; pool/2."""
    source = net.latest
    seven = [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)]
    net.join(
        name,
        net.branch(f"{name}/three", [(192, 1, 1), (320, 3, 3)], source, halves=True),
        net.branch(f"{name}/seven", seven, source, halves=True),
        net.halving_pool(f"{name}/pool", source),
    )


def add_mixed_split(net: InceptionBuilder, name: str) -> None:
    """Add four branches: 1x1; 1x1-split; 1x1-3x3-split; average pool-1x1.

    A split is a 1x3 and a 3x1 unit over one map, see `add_split`.
    """
    source = net.latest
    plain = net.branch(f"{name}/plain", [(320, 1, 1)], source)
    three = add_split(net, f"{name}/three", net.branch(f"{name}/three", [(384, 1, 1)], source))
    stack = net.branch(f"{name}/double", [(448, 1, 1), (384, 3, 3)], source)
    double = add_split(net, f"{name}/double", stack)
    net.join(name, plain, three, double, net.pooled_branch(f"{name}/pooled", 192, source))


def add_split(net: InceptionBuilder, name: str, source: str) -> str:
    """Add 1x3 and 3x1 units over the same map and concatenate them."""
    wide = net.unit(f"{name}/wide", (384, 1, 3), source)
    high = net.unit(f"{name}/high", (384, 3, 1), source)
    return net.add(f"{name}/concatenate", Concatenate(), wide, high)
