"""Which model of the table somebody else's weight file is for, told by its names and shapes."""

from collections.abc import Mapping
from typing import NamedTuple

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.layers import Shape
from poc.shared.spec.networks.models import MODELS, ModelSpec, find_model
from poc.shared.spec.networks.network import Network

from .conversion import Tensors, choose_candidates, own_tensors, published_shape
from .published.schemes import Scheme
from .published.table import find_schemes
from .wrapping import below, find_prefixes

# Any number serves: the head is not compared.
SOME_CLASSES = 1000


class Recognised(NamedTuple):
    """A row of the table of models, and the lineage that the file's naming tells, if any."""

    model: str
    lineage: str | None


def recognise_model(tensors: Mapping[str, Array]) -> Recognised | None:
    """The one model all of whose tensors, the head's size apart, are the file's.

    Args:
        tensors: By the names in the file; only their shapes are looked at.

    Returns:
        None where the file fits no model, or several.
    """
    found = {name: scheme for name in MODELS for scheme in fitting_schemes(name, tensors)[:1]}
    if len(found) != 1:
        return None
    ((name, scheme),) = found.items()
    return Recognised(name, scheme.lineage if scheme else None)


def fitting_schemes(name: str, tensors: Mapping[str, Array]) -> list[Scheme | None]:
    """The namings under which a file is a model's; none stands for canonical names."""
    network = ModelSpec(name=name).declare(find_model(name).example_input, SOME_CLASSES)
    num_wanted = len(network.parameters)
    if len(tensors) < num_wanted:
        return []
    inner = [below(tensors, prefix) for prefix in ("", *find_prefixes(tensors, num_wanted))]
    inner = [found for found in inner if len(found) >= num_wanted]
    return [
        scheme
        for scheme in choose_candidates(network, find_schemes(name), None)
        if any(fits(network, scheme, found, num_wanted) for found in inner)
    ]


def fits(network: Network, scheme: Scheme | None, tensors: Tensors, num_wanted: int) -> bool:
    """Whether a file holds exactly a network's tensors, whatever number of classes it knows.

    Args:
        network: Whose tensors are looked for.
        scheme: The names that they would have; none stands for canonical ones.
        tensors: By the names in the file.
        num_wanted: Tensors of the network, counted once since that takes long.
    """
    own = tensors if scheme is None else own_tensors(network, scheme, tensors)
    if len(own) != num_wanted:
        return False
    wanted = published_shapes(network, scheme)
    head = next(node for node in reversed(network.nodes) if node.parameters)
    names = scheme.tensors(network) if scheme else {}
    of_head = {names.get(parameter.name, parameter.name) for parameter in head.parameters}
    return own.keys() == wanted.keys() and all(
        len(value.shape) == len(wanted[name])
        if name in of_head
        else tuple(value.shape) == tuple(wanted[name])
        for name, value in own.items()
    )


def published_shapes(network: Network, scheme: Scheme | None) -> dict[str, Shape]:
    """Name in a file -> shape there; no scheme stands for canonical files."""
    if scheme is None:
        return {parameter.name: parameter.shape for parameter in network.parameters}
    names = scheme.tensors(network)
    return {
        names[parameter.name]: published_shape(network, node, parameter.shape, scheme)
        for node in network.nodes
        for parameter in node.parameters
    }
