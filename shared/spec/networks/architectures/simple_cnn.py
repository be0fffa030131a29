"""The small network of the L2T-ww study on Stanford Dogs: three convolutions, global max-pool."""

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

PADS = ((1, 1), (1, 1))


class SimpleCNNOptions(Settings):
    """Options of the simple CNN."""

    widths: tuple[int, ...] = Field(
        (32, 64, 128), min_length=1, description="number of filters of each stage"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="rate of the spatial dropout")


def simple_cnn(options: SimpleCNNOptions, input_shape: Shape, num_classes: int) -> Network:
    """Declare the simple CNN: stages, global max-pool, head.

    A stage is conv 3x3, batch norm, ReLU, spatial dropout and max-pool. The study added the batch
    norm against exploding losses. Taps `reduction1` … `reduction3` are the maps before each pool,
    after the dropout.
    """
    net = NetworkBuilder("simple_cnn", input_shape)
    for stage, filters in enumerate(options.widths, start=1):
        layer = Conv2D(
            filters=filters,
            kernel_size=(3, 3),
            padding=PADS,
            initializer="kaiming_normal_fan_in",
        )
        net.add(f"stage{stage}/conv", layer)
        net.add(f"stage{stage}/norm", BatchNorm(momentum=0.9, epsilon=1e-5))
        net.add(f"stage{stage}/relu", Activate(activation="relu"))
        if options.dropout:
            net.add(f"stage{stage}/dropout", Dropout(rate=options.dropout, is_spatial=True))
        net.tap(f"reduction{stage}")
        net.add(f"stage{stage}/pool", Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid"))
    net.add("pool", GlobalPool(mode="max"))
    net.add("head", Dense(units=num_classes, initializer="normal_hundredth"))
    return net.build()
