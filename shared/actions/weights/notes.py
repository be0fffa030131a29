"""Sentences about a conversion of weights that a user would not expect."""

from collections.abc import Iterator

import numpy as np

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network
from poc.shared.spec.run import RunSpec
from poc.shared.weights.check import printable
from poc.shared.weights.conversion import Tensors, own_tensors
from poc.shared.weights.lineage import lineage_of
from poc.shared.weights.packing import LEFT_OUT, lacks_head
from poc.shared.weights.published.positions import find_position_node
from poc.shared.weights.published.schemes import Scheme


def describe_lineage(run: RunSpec, incoming: Scheme | None, lineage: str | None) -> Iterator[str]:
    """Yield a note if names and shapes fit more than one lineage."""
    own = lineage_of(run.model_spec)
    if own is None:
        return
    if lineage is not None and lineage != own:
        yield (
            f"These are weights of the lineage {lineage!r}, but lineage={own} was named. The file "
            f"says {lineage!r}, and runs that start from it must set model.lineage={lineage}."
        )
    elif lineage is None and incoming is not None:
        yield (
            f"The names of {incoming.name} fit both lineages. The file is recorded as {own!r}; "
            "--set model.lineage=... names the other."
        )


def describe_parts(network: Network, incoming: Scheme | None, tensors: Tensors) -> Iterator[str]:
    """Yield notes about tensors (…) that were left out, resized or drawn."""
    if incoming is None:
        return
    own = own_tensors(network, incoming, tensors)
    left = [name for name in tensors if LEFT_OUT.search(name)]
    if left:
        yield f"Left out: {', '.join(printable(name) for name in left)}, which no classifier reads."
    found = find_position_node(network)
    if found and (value := own.get(incoming.tensors(network)[f"{found[0]}/embedding"])) is not None:
        wanted = network.shape_of(found[0])[0]
        if value.ndim == 3 and value.shape[1] != wanted:
            yield (
                f"Resized the {value.shape[1]} learned positions to the {wanted} of images of "
                f"{network.input_shape[0]}x{network.input_shape[1]}, as {incoming.name} does."
            )
    if lacks_head(network, incoming, own):
        yield f"The file has no head: {network.head.name} is drawn, as that of a new network."


def describe_types(weights: Weights) -> Iterator[str]:
    """Yield a note if some of the `Weights` are float64, which is rare and doubles the file."""
    doubles = sum(value.dtype == np.float64 for value in weights.values())
    if doubles:
        yield (
            f"{doubles} of {len(weights)} tensors are float64 and stay float64; a float32 run "
            "rounds them when it starts."
        )
