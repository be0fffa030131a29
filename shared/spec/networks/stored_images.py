"""A nearest-neighbour classifier in place of a network's last layer, as settings of the model."""

from dataclasses import replace

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings

from .layers.dense import Dense
from .layers.neighbours import Metric, NearestNeighbours
from .network import Network
from .nodes import Node


class StoredImages(Settings):
    """The form of a classifier that answers by stored images; `NearestNeighbours` has the formula.

    The method `knn` sets it when it knows how many images there are.
    """

    num_images: int = Field(ge=1, description="number of stored images")
    most_neighbours: int = Field(ge=1, description="largest number of neighbours to choose from")
    metric: Metric = Field("cosine", description="similarity of two images")
    sharpness: float = Field(0.0, ge=0, description="weight of a vote: exp(sharpness * similarity)")


def require_dense_end(network: Network, what: str) -> Node:
    """Return the last layer, if it is a plain dense one with a bias.

    Args:
        network: The network.
        what: The classifier that needs it, for the message.

    Raises:
        UsageError: The network ends in another layer.
    """
    last = network.nodes[-1]
    layer = last.layer
    if isinstance(layer, Dense) and layer.use_bias and layer.activation is None:
        return last
    raise UsageError(
        f"Got the model {network.name} for {what}, which ends in the layer {last.name!r} of the "
        f"kind {layer.kind}. Expected a dense layer with a bias at the end. Try another model of "
        "`poc models list`, for example efficientnet_lite0."
    )


def with_stored_images(network: Network, stored: StoredImages) -> Network:
    """Return the network with a nearest-neighbour classifier in place of its last layer.

    Raises:
        UsageError: The network does not end in a dense layer.
    """
    last = require_dense_end(network, "nearest neighbours")
    layer = NearestNeighbours(
        units=network.num_classes,
        num_stored=stored.num_images,
        most_neighbours=min(stored.most_neighbours, stored.num_images),
        metric=stored.metric,
        sharpness=stored.sharpness,
    )
    return replace(network, nodes=(*network.nodes[:-1], replace(last, layer=layer)))
