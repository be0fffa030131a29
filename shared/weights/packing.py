"""Tensors of attention that publishers store together, files of a body alone, learned positions.

These are the changes between a published file and one tensor for each of the network's.
"""

import re
from collections.abc import Mapping

import numpy as np

from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.networks.initializers import draw_parameter
from poc.shared.spec.networks.layers.attention import PARTS
from poc.shared.spec.networks.network import Network

from .published.positions import find_position_node, fit_positions
from .published.schemes import Scheme

Tensors = Mapping[str, Array]
# A transformer's token for masked patches, which only its own training reads, and the pooler that
# transformers puts behind a body.
LEFT_OUT = re.compile(r"(^|\.)(mask_token|pooler\.dense\.(weight|bias))$")


def unpack(tensors: Tensors, packed: Mapping[str, str]) -> Arrays:
    """Return tensors (…), of which each packed one (3 F, …) has become three (F, …)."""
    found: Arrays = {}
    for name, value in tensors.items():
        end = next((end for end in packed if name.endswith(end)), None)
        if end is None or not value.ndim or len(value) % len(PARTS):
            found[name] = value
            continue
        owner = name.removesuffix(end)
        for part, share in zip(PARTS, np.split(value, len(PARTS)), strict=True):
            found[f"{owner}{part}.{packed[end]}"] = share
    return found


def pack(tensors: Tensors, packed: Mapping[str, str]) -> Arrays:
    """Return tensors (…), of which each three of query, key and value (F, …) are one (3 F, …)."""
    ends = {f"query.{kind}": end for end, kind in packed.items()}
    inner = tuple(f"{part}.{kind}" for part in PARTS[1:] for kind in packed.values())
    found: Arrays = {}
    for name, value in tensors.items():
        end = next((end for end in ends if name.endswith(end)), None)
        if end is not None:
            owner = name.removesuffix(end)
            names = [f"{owner}{part}.{packed[ends[end]]}" for part in PARTS]
            found[f"{owner}{ends[end]}"] = np.concatenate([tensors[each] for each in names])
        elif not (inner and name.endswith(inner)):
            found[name] = value
    return found


def add_body(network: Network, tensors: Tensors, scheme: Scheme) -> Tensors:
    """Return tensors (…) of a body alone under the names that they have in the network."""
    prefix = scheme.body(network) if scheme.body else ""
    if not prefix or any(name.startswith(prefix) for name in tensors):
        return tensors
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def with_fitting_positions(network: Network, scheme: Scheme, tensors: Tensors) -> Arrays:
    """Return tensors (…), of which the positions (1, T, C) fit the network's patches."""
    found = find_position_node(network)
    if scheme.resizing is None or found is None:
        return dict(tensors)
    node, num_prefix, grid = found
    name = scheme.tensors(network)[f"{node}/embedding"]
    if name not in tensors:
        return dict(tensors)
    rule = scheme.resizing(network)
    return {**tensors, name: fit_positions(tensors[name], num_prefix, grid, rule)}


def lacks_head(network: Network, scheme: Scheme | None, tensors: Tensors) -> bool:
    """Say if a file has a body's tensors (…) and none of the head, as some publishers have."""
    if scheme is None or not scheme.may_lack_head:
        return False
    names = scheme.tensors(network)
    return not any(names[parameter.name] in tensors for parameter in network.head.parameters)


def draw_head(network: Network) -> Arrays:
    """Draw the tensors (…) of the head, as a run with the seed 0 does; float32."""
    return {
        parameter.name: draw_parameter(parameter, 0).astype(np.float32)
        for parameter in network.head.parameters
    }
