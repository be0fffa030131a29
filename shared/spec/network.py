"""A network as data: named layers, what feeds what, where features are tapped.

One declaration serves both backends, the counts, the shapes and the noise. `NetworkBuilder` checks
every shape while the network is declared, so a wrong architecture is refused before a framework
starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from poc.shared.errors import UsageError

from .layers import BatchNorm, Dropout, DropPath, Layer, Parameter, Shape, prefixed

IMAGES = "images"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One layer in its place: canonical name, declaration, inputs and shapes (batch left out)."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters under their canonical names, `node/…/kernel`."""
        return tuple(
            prefixed(self.name, parameter) for parameter in self.layer.parameters(self.input_shapes)
        )

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.layer.macs(self.input_shapes)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A whole network: nodes in the order of computation; the last one gives the logits.

    `taps` maps a feature's public name to the node that computes it.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    taps: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter, in the order of the nodes."""
        return tuple(parameter for node in self.nodes for parameter in node.parameters)

    @property
    def output(self) -> str:
        """Name of the node that gives the logits."""
        return self.nodes[-1].name

    @cached_property
    def last_uses(self) -> Mapping[str, tuple[str, ...]]:
        """Node -> the values that nothing needs once it is computed, so that they can be freed."""
        user = {source: node.name for node in self.nodes for source in node.inputs}
        freed: dict[str, tuple[str, ...]] = {}
        for source, name in user.items():
            freed[name] = (*freed.get(name, ()), source)
        return freed

    def node_of(self, tap: str) -> str:
        """Node behind a tap; `logits` is the output, and every node is its own tap.

        Raises:
            UsageError: No such tap.
        """
        taps = {**self.taps, "logits": self.output}
        if tap in taps:
            return taps[tap]
        if any(node.name == tap for node in self.nodes):
            return tap
        raise UsageError(
            f"received the tap {tap!r} of {self.name}; allowed are {', '.join(taps)}: choose one"
        )

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.nodes[-1].output_shape[-1]

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass over one image."""
        return sum(node.macs for node in self.nodes)

    @cached_property
    def cancelled_biases(self) -> Mapping[str, str]:
        """Bias -> batch norm that subtracts it again: its gradient is exactly zero.

        In floating point the gradient is rounding noise, which Adam follows at full rate.
        """
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for source in node.inputs:
                users.setdefault(source, []).append(node)
        return {
            node.parameters[-1].name: users[node.name][0].name
            for node in self.nodes
            if [user.layer.kind for user in users.get(node.name, [])] == [BatchNorm.kind]
            and getattr(node.layer, "activation", None) is None
            and node.parameters
            and node.parameters[-1].name.endswith("/bias")
        }

    @property
    def dropouts(self) -> Mapping[str, tuple[Shape, float]]:
        """Name of each random layer -> (mask shape of one example, drop rate)."""
        return {
            node.name: (node.layer.mask_shape(node.input_shapes), node.layer.rate)
            for node in self.nodes
            if isinstance(node.layer, Dropout | DropPath) and node.layer.rate > 0
        }


class NetworkBuilder:
    """Collects nodes; `add` returns the new node's name, to be used as the next one's input."""

    def __init__(self, name: str, input_shape: Shape) -> None:
        self._name = name
        self._input_shape = input_shape
        self._nodes: dict[str, Node] = {}
        self._taps: dict[str, str] = {}

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """Place `layer` under `name`; without `inputs` it follows the latest node.

        Raises:
            UsageError: The shapes do not fit; the message names the layer.
        """
        if name in self._nodes or name == IMAGES:
            raise ValueError(f"Received the layer name {name!r} twice in {self._name}.")
        sources = inputs or (self.latest,)
        shapes = tuple(self.shape(source) for source in sources)
        try:
            output_shape = layer.output_shape(shapes)
        except UsageError as error:
            raise UsageError(f"{self._name}, layer {name}: {error}") from None
        self._nodes[name] = Node(
            name=name, layer=layer, inputs=sources, input_shapes=shapes, output_shape=output_shape
        )
        return name

    def tap(self, name: str, node: str | None = None) -> None:
        """Publish a node's output (default: the latest) as the feature `name`."""
        self._taps[name] = node or self.latest

    def shape(self, name: str) -> Shape:
        """Output shape of a node, or of the images."""
        return self._input_shape if name == IMAGES else self._nodes[name].output_shape

    @property
    def latest(self) -> str:
        """Name of the latest node, or of the images."""
        return next(reversed(self._nodes), IMAGES)

    def build(self) -> Network:
        """The finished network."""
        return Network(
            name=self._name,
            input_shape=self._input_shape,
            nodes=tuple(self._nodes.values()),
            taps=dict(self._taps),
        )
