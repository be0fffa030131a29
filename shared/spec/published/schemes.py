"""A naming scheme: canonical tensor name <-> the name in somebody else's file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from poc.shared.spec.network import Network, Node

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
    """Names of one publisher; `layers` maps each node that has parameters to their layer."""

    name: str
    layout: Layout
    layers: Callable[[Network], LayerNames]

    def tensors(self, network: Network) -> dict[str, str]:
        """Canonical name -> published name, in the order of the network's parameters."""
        layers = self.layers(network)
        return {
            parameter.name: self.published_name(
                layers[node.name], parameter.name.removeprefix(f"{node.name}/")
            )
            for node in network.nodes
            for parameter in node.parameters
        }

    def published_name(self, layer: str, suffix: str) -> str:
        """Name of one tensor of a published layer."""
        return f"{layer}{SEPARATORS[self.layout]}{SUFFIXES[self.layout][suffix]}"


def layers_with_parameters(network: Network) -> list[Node]:
    """The nodes that a scheme must name."""
    return [node for node in network.nodes if node.parameters]
