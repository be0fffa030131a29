"""Recognition of the model that a foreign weight file is for, by names and shapes."""

from collections.abc import Mapping
from typing import NamedTuple

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.layers.attention import PARTS, SelfAttention
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.networks.network import Network

from .conversion import Tensors, choose_candidates, own_tensors
from .layout import published_shape
from .published.positions import find_position_node
from .published.schemes import Scheme
from .published.table import find_schemes
from .wrapping import below, find_prefixes

# Any number will do, since the head is not compared.
SOME_CLASSES = 1000


class Recognised(NamedTuple):
    """A row of the table of models, and the lineage that the file's naming implies, if any."""

    model: str
    lineage: str | None


def recognise_model(tensors: Mapping[str, Array]) -> Recognised | None:
    """Find the only model whose tensors, except for the head's size, are all those of the file.

    Args:
        tensors: Name in the file -> array (…); only the shapes are compared.

    Returns:
        The model, or None if the file fits no model or several.
    """
    found = {name: scheme for name in MODELS for scheme in fitting_schemes(name, tensors)[:1]}
    if len(found) != 1:
        return None
    ((name, scheme),) = found.items()
    return Recognised(name, scheme.lineage if scheme else None)


def fitting_schemes(name: str, tensors: Mapping[str, Array]) -> list[Scheme | None]:
    """Return the namings under which tensors (…) fit a model; None stands for canonical names."""
    network = ModelSpec(name=name).declare(find_model(name).example_input, SOME_CLASSES)
    num_wanted = len(network.parameters)
    # Publishers store kernels and biases of query, key and value as one each.
    num_attentions = sum(isinstance(node.layer, SelfAttention) for node in network.nodes)
    num_least = num_wanted - 2 * (len(PARTS) - 1) * num_attentions
    # Counting is cheap, and rules models out before any tensor is renamed.
    if len(tensors) < num_least:
        return []
    inner = [below(tensors, prefix) for prefix in ("", *find_prefixes(tensors, num_least))]
    inner = [found for found in inner if len(found) >= num_least]
    return [
        scheme
        for scheme in choose_candidates(network, find_schemes(name), None)
        if any(fits(network, scheme, found, num_wanted) for found in inner)
    ]


def fits(network: Network, scheme: Scheme | None, tensors: Tensors, num_wanted: int) -> bool:
    """Say if a file holds exactly a network's tensors, with any number of classes.

    Args:
        network: The network whose tensors are looked for.
        scheme: The naming that they would have; none stands for canonical names.
        tensors: Name in the file -> array (…); only the shapes are compared.
        num_wanted: Number of the network's tensors, counted once since that takes long.
    """
    own = tensors if scheme is None else own_tensors(network, scheme, tensors)
    if len(own) != num_wanted:
        return False
    wanted = published_shapes(network, scheme)
    head = next(node for node in reversed(network.nodes) if node.parameters)
    names = scheme.tensors(network) if scheme else {}
    found = find_position_node(network)
    # Other numbers of classes, and other numbers of patches.
    free = {parameter.name for parameter in head.parameters}
    free |= {f"{found[0]}/embedding"} if found else set()
    of_any_size = {names.get(name, name) for name in free}
    return own.keys() == wanted.keys() and all(
        len(value.shape) == len(wanted[name])
        if name in of_any_size
        else tuple(value.shape) == tuple(wanted[name])
        for name, value in own.items()
    )


def published_shapes(network: Network, scheme: Scheme | None) -> dict[str, Shape]:
    """Return name -> shape in a file of this naming; None stands for canonical files."""
    if scheme is None:
        return {parameter.name: parameter.shape for parameter in network.parameters}
    names = scheme.tensors(network)
    return {
        names[parameter.name]: published_shape(network, node, parameter.shape, scheme)
        for node in network.nodes
        for parameter in node.parameters
    }
