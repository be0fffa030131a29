"""Naming scheme: canonical tensor name <-> name in a publisher's file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import Network, Node

from .positions import Resizing

Layout = Literal["torch", "keras"]
LayerNames = dict[str, str]
SUFFIXES: Mapping[str, Mapping[str, str]] = {
    "torch": {
        "kernel": "weight",
        "bias": "bias",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
    "keras": {
        name: name for name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    },
}
SEPARATORS = {"torch": ".", "keras": "/"}


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Names of one publisher for the tensors of a model.

    Attributes:
        name: Name of the publisher.
        layout: Framework whose order of axes the kernels have.
        layers: Maps each node that has parameters to the publisher's layer.
        lineage: Lineage that such a file computes with, if the model has that option; none: the
            names do not show it.
        numbered: Layers that the publisher only counts, from any number on.
        adds_shortcut_first: True if the publisher's sums name their inputs in reverse order.
        has_statistics: True if the publisher's model normalises images by numbers of its own.
        is_nested: True if the publisher's model holds other models, whose layers no file that is
            written here would reach.
        shapes: Kind of a layer -> the publisher's shape of its kernel or factors in place of the
            layout's, which has the same values in the same order.
        suffixes: Names of a kind's own tensors below the layer, by `kind/tensor`; empty: the tensor
            has the layer's name.
        packed: Tensors that hold query, key and value as one, by the end of their name -> the end
            of the three that they become.
        resizing: Rule by which the publisher resizes learned positions.
        body: Prefix that all names but the head's have, and that files of the body alone lack.
        may_lack_head: True if the publisher has files without a head.
    """

    name: str
    layout: Layout
    layers: Callable[[Network], LayerNames]
    lineage: str | None = None
    numbered: tuple[str, ...] = ()
    adds_shortcut_first: bool = False
    has_statistics: bool = False
    is_nested: bool = False
    shapes: Mapping[str, Callable[[Shape], Shape]] = field(default_factory=dict, hash=False)
    suffixes: Mapping[str, str] = field(default_factory=dict, hash=False)
    packed: Mapping[str, str] = field(default_factory=dict, hash=False)
    resizing: Callable[[Network], Resizing] | None = None
    body: Callable[[Network], str] | None = None
    may_lack_head: bool = False

    def can_name(self, network: Network) -> bool:
        """Say if it has names for all layers of a network and all kinds of their parameters.

        Factors have none, and some options of a model give it layers that nobody has published.
        """
        known = {*SUFFIXES[self.layout], *self.suffixes}
        kinds = (
            not known.isdisjoint((suffix, f"{node.layer.kind}/{suffix}"))
            for node in network.nodes
            for parameter in node.parameters
            for suffix in (parameter.name.removeprefix(f"{node.name}/"),)
        )
        named = self.layers(network)
        return all(kinds) and all(node.name in named for node in layers_with_parameters(network))

    def tensors(self, network: Network) -> dict[str, str]:
        """Return canonical name -> published name, in the order of the network's parameters."""
        layers = self.layers(network)
        return {
            parameter.name: self.published_name(
                layers[node.name], node.layer.kind, parameter.name.removeprefix(f"{node.name}/")
            )
            for node in network.nodes
            for parameter in node.parameters
        }

    def published_name(self, layer: str, kind: str, suffix: str) -> str:
        """Return the name of one tensor of a published layer."""
        own = self.suffixes.get(f"{kind}/{suffix}")
        if own is None:
            own = SUFFIXES[self.layout][suffix]
        return f"{layer}{SEPARATORS[self.layout]}{own}" if own else layer


def layers_with_parameters(network: Network) -> list[Node]:
    """Return the nodes that a scheme must name."""
    return [node for node in network.nodes if node.parameters]


def dotted_layers(network: Network) -> LayerNames:
    """Return canonical names with dots, which PyTorch gives to layers of the same names."""
    return {node.name: node.name.replace("/", ".") for node in layers_with_parameters(network)}


DOTTED = Scheme(name="dotted", layout="torch", layers=dotted_layers)
