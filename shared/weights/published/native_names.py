"""Names of the layers of a native model."""

from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.networks.network import Network

from .table import find_schemes


def name_native_layers(network: Network, model: ModelSpec, backend: str) -> dict[str, str]:
    """Return node -> name of its layer in a model that a user takes home.

    Names are the canonical ones with dots, since Keras refuses slashes. In PyTorch, layers with
    parameters have torchvision's names if it has the network, so that its class loads the
    state_dict.
    """
    names = {node.name: node.name.replace("/", ".") for node in network.nodes}
    if backend == "tf":
        return names
    lineage = getattr(model.resolved(), "lineage", None)
    for scheme in find_schemes(model.name):
        if scheme.name == "torchvision" and scheme.lineage in (None, lineage):
            return {**names, **scheme.layers(network)} if scheme.can_name(network) else names
    return names
