"""Conversion of published weights to canonical ones and back: renaming and transposition alone.

Canonical kernels are HWIO, dense ones (in, out) after an (H, W, C) flatten. PyTorch files hold
OIHW, depthwise (C, 1, H, W), dense (out, in) after a (C, H, W) flatten. Keras' layouts are the
canonical ones.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network
from poc.shared.spec.suggestions import likeliest

from .check import check_finite, check_tensors, check_weights, printable
from .layout import arrange, arrange_back, published_shape
from .packing import (
    LEFT_OUT,
    add_body,
    draw_head,
    lacks_head,
    pack,
    unpack,
    with_fitting_positions,
)
from .published.keras_order import keras_order
from .published.schemes import Scheme
from .published.unsupported import find_unsupported

Tensors = Mapping[str, Array]
# Counters of PyTorch's batch norm, what no classifier reads, and the statistics of Keras'
# normalisation layers. The data pipeline does that normalisation here.
IGNORED = {
    "torch": re.compile(rf"num_batches_tracked$|{LEFT_OUT.pattern}"),
    "keras": re.compile(r"(^|/)normalization(_\d+)?/"),
}
# Variables that Keras' code gives no name, of which each layer has one.
UNNAMED = re.compile(r"/[Vv]ariable(_\d+)?$")
CANONICAL = "canonical"


def to_canonical(network: Network, scheme: Scheme, tensors: Tensors) -> Weights:
    """Rename and transpose the tensors (…) of a published file to canonical `Weights`.

    Learned positions are resized, and a head is drawn if the publisher has files without one.

    Raises:
        UsageError: Names the first tensor that is missing, extra or misshapen.
    """
    tensors = with_fitting_positions(network, scheme, own_tensors(network, scheme, tensors))
    names = scheme.tensors(network)
    if lacks_head(network, scheme, tensors):
        drawn = draw_head(network).items()
        tensors |= {names[k]: arrange_back(network, network.head, v, scheme) for k, v in drawn}
    shapes = {
        names[parameter.name]: published_shape(network, node, parameter.shape, scheme)
        for node in network.nodes
        for parameter in node.parameters
    }
    check_tensors(f"{network.name} as {scheme.name} names it", shapes, tensors)
    floats = {own: as_float(name, tensors[name]) for own, name in names.items()}
    return {
        parameter.name: np.ascontiguousarray(
            arrange(network, node, floats[parameter.name], parameter.shape, scheme)
        )
        for node in network.nodes
        for parameter in node.parameters
    }


def from_canonical(network: Network, scheme: Scheme, weights: Tensors) -> Arrays:
    """Rename and transpose canonical `Weights` as a publisher does.

    PyTorch's counters come back as zeros, so that a strict load accepts the file. Keras' layers are
    in the order of its model.

    Raises:
        UsageError: The weights are not this network's, or such files can only be read.
    """
    check_weights(network, weights)
    if scheme.is_nested:
        raise UsageError(
            f"Got --to {scheme.name} for {network.name}, whose model there holds other models. "
            "Expected another naming, since such files can only be read. Try --to canonical."
        )
    names = scheme.tensors(network)
    nodes = keras_order(network, scheme) if scheme.layout == "keras" else network.nodes
    published = {
        names[parameter.name]: arrange_back(network, node, weights[parameter.name], scheme)
        for node in nodes
        for parameter in node.parameters
    }
    published = pack(published, scheme.packed)
    if scheme.layout == "torch":
        owners = [name.rpartition(".")[0] for name in published if name.endswith("running_var")]
        published |= {f"{owner}.num_batches_tracked": np.array(0) for owner in owners}
    return published


def find_scheme(
    network: Network, schemes: Sequence[Scheme], tensors: Tensors, wanted: str | None = None
) -> Scheme | None:
    """Return the scheme that knows most of the tensors, or None for canonical names.

    Args:
        network: The network that the tensors are for.
        schemes: The network's published schemes.
        tensors: Name in the file -> array (…); only the names are compared.
        wanted: `torch`, `keras`, `canonical`, or the name of one scheme; none: any.

    Raises:
        UsageError: No scheme has that name, or none knows a single tensor.
    """
    candidates = choose_candidates(network, schemes, wanted)
    best = max(candidates, key=lambda scheme: count_known(network, scheme, tensors))
    if count_known(network, best, tensors):
        return best
    form = find_unsupported(network.name, tensors)
    if form is not None:
        raise UsageError(
            f"Got a file of {form.owner}, which is another network than {network.name} here "
            f"({form.differences}) and is not supported. Expected {form.supported}. Try a file of "
            "that network."
        )
    names = [scheme.name if scheme else CANONICAL for scheme in candidates]
    raise UsageError(
        f"Got a file with tensors such as {printable(next(iter(tensors), 'none'))!r}, which no "
        f"naming of {network.name} knows. Expected one of {', '.join(names)}. Try the right "
        "--model, or save the tensors under one of these namings."
    )


def choose_candidates(
    network: Network, schemes: Sequence[Scheme], wanted: str | None
) -> list[Scheme | None]:
    """Return the namings that a file may have; None stands for canonical names.

    Raises:
        UsageError: The model has no format of that name.
    """
    chosen = choose(schemes, wanted, network)
    return [None, *chosen] if wanted in (None, CANONICAL) else [*chosen]


def count_known(network: Network, scheme: Scheme | None, tensors: Tensors) -> int:
    """Count the tensors (…) of a network that a naming finds; only their names are compared."""
    if scheme is None:
        return sum(parameter.name in tensors for parameter in network.parameters)
    own = own_tensors(network, scheme, tensors)
    return sum(name in own for name in scheme.tensors(network).values())


def choose(schemes: Sequence[Scheme], wanted: str | None, network: Network) -> list[Scheme]:
    """Return the schemes that `wanted` stands for and that can name the network.

    Raises:
        UsageError: The model has no format of that name.
    """
    if wanted == CANONICAL:
        return []
    schemes = [scheme for scheme in schemes if scheme.can_name(network)]
    chosen = [scheme for scheme in schemes if wanted in (None, scheme.layout, scheme.name)]
    if wanted and not chosen:
        allowed = [CANONICAL, *dict.fromkeys(s for x in schemes for s in (x.layout, x.name))]
        raise UsageError(
            f"Got the format {wanted!r} for {network.name}. Expected one of {', '.join(allowed)}. "
            f"Try {likeliest(wanted, allowed)}."
        )
    return chosen


def own_tensors(network: Network, scheme: Scheme, tensors: Tensors) -> Arrays:
    """Return tensors (…), of unchanged shapes, under the scheme's names.

    Tensors that no network here has are left out.

    Layers that the publisher only numbers are numbered again from 0. Keras' numbered variables
    (`vars/0`, …) get the names of the layer's parameters, in their order. A packed query, key and
    value become three.
    """
    tensors = number_from_zero(tensors, scheme.numbered)
    if scheme.layout == "keras":
        tensors = {UNNAMED.sub("/variable", name): value for name, value in tensors.items()}
    tensors = unpack(add_body(network, tensors, scheme), scheme.packed)
    numbered: dict[str, str] = {}
    if any("/vars/" in name for name in tensors):
        count: dict[str, int] = {}
        for name in scheme.tensors(network).values():
            layer = name.rpartition("/")[0]
            numbered[f"{layer}/vars/{count.setdefault(layer, 0)}"] = name
            count[layer] += 1
    ignored = IGNORED[scheme.layout]
    return {
        numbered.get(name, name): value
        for name, value in tensors.items()
        if not ignored.search(name)
    }


def number_from_zero(tensors: Tensors, bases: Sequence[str]) -> Tensors:
    """Rename `conv2d_94/kernel`, … to `conv2d/kernel`, …, counted from 0; arrays (…) stay.

    A process that has made other layers before goes on counting. Only numbers without a gap
    identify the layers; others are not changed.
    """
    layers = {name.partition("/")[0] for name in tensors}
    renamed: dict[str, str] = {}
    for base in bases:
        found = (re.fullmatch(rf"{base}(?:_(\d+))?", layer) for layer in layers)
        numbers = {int(match[1] or 0): match[0] for match in found if match}
        first = min(numbers, default=0)
        if numbers.keys() == set(range(first, first + len(numbers))):
            for number, layer in numbers.items():
                renamed[layer] = f"{base}_{number - first}" if number > first else base
    return {rename(name, renamed): value for name, value in tensors.items()}


def rename(name: str, layers: Mapping[str, str]) -> str:
    """Return the name of a tensor below the new name of its layer."""
    layer, slash, rest = name.partition("/")
    return f"{layers.get(layer, layer)}{slash}{rest}"


def as_float(name: str, value: Array) -> NDArray[np.floating]:
    """Widen half precision (…) to float32, which is exact; return other floats (…) unchanged.

    Raises:
        UsageError: The values are not floats but quantised, with their scales stored elsewhere, or
            one of them is not finite.
    """
    if value.dtype.kind != "f":
        raise UsageError(
            f"Got {printable(name)} of type {value.dtype}. Expected floats. Try saving the "
            "weights from before they were quantised."
        )
    check_finite(name, value)
    is_double = value.dtype.itemsize >= np.dtype(np.float64).itemsize
    return value.astype(np.float64 if is_double else np.float32, copy=False)
