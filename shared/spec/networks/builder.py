"""A builder that declares a network layer by layer.

It checks every shape, so that a wrong architecture is refused before a framework starts.
"""

from collections.abc import Sequence

from poc.shared.errors import UsageError

from .layers.declaration import Layer, Parameter, Shape
from .layers.residual import StochasticDepth
from .network import IMAGES, Network
from .nodes import Block, Node

# Four terabytes of float32: NumPy would fail on a mistyped size with a message of its own.
MOST_VALUES = 2**40


class NetworkBuilder:
    """A builder that collects nodes; `add` returns the new node's name, an input for the next."""

    def __init__(self, name: str, input_shape: Shape) -> None:
        self._name = name
        self._input_shape = input_shape
        self._nodes: dict[str, Node] = {}
        self._taps: dict[str, str] = {}
        self._blocks: dict[str, Block] = {}
        self._auxiliary: dict[str, float] = {}
        self._latest = IMAGES

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """Add `layer` under `name`; without `inputs` it follows the latest node.

        Raises:
            UsageError: The shapes do not fit; the message names the layer.
        """
        if name in self._nodes or name == IMAGES:
            raise ValueError(
                f"Got the layer name {name!r} twice in {self._name}. Expected each name once."
            )
        sources = inputs or (self.latest,)
        shapes = tuple(self.shape(source) for source in sources)
        try:
            output_shape = layer.output_shape(shapes)
            check_sizes(layer.parameters(shapes))
        except UsageError as error:
            wrong = str(error).removeprefix("Got ")
            raise UsageError(f"Got the layer {name} of {self._name} with {wrong}") from None
        self._nodes[name] = Node(
            name=name, layer=layer, inputs=sources, input_shapes=shapes, output_shape=output_shape
        )
        self._latest = name
        return name

    def tap(self, name: str, node: str | None = None) -> None:
        """Publish a node's value, by default the latest one's, as the tap `name`."""
        self._taps[name] = node or self.latest

    def close_block(self, name: str, first: str, shortcut: str, *, is_identity: bool) -> None:
        """Declare the nodes from `first` to the latest as one block parallel to `shortcut`."""
        names = list(self._nodes)
        nodes = tuple(names[names.index(first) :])
        gates = [
            node
            for node in nodes
            if isinstance(layer := self._nodes[node].layer, StochasticDepth) and layer.is_gate
        ]
        self._blocks[name] = Block(
            nodes=nodes, shortcut=shortcut, is_identity=is_identity, gate=gates[0] if gates else ""
        )

    def add_auxiliary(self, weight: float) -> None:
        """Use the latest node's output as logits too, with this weight in the training loss."""
        self._auxiliary[self.latest] = weight

    def shape(self, name: str) -> Shape:
        """Return the output shape of a node, or the shape of the images, without the batch."""
        return self._input_shape if name == IMAGES else self._nodes[name].output_shape

    def resume(self, name: str) -> None:
        """Let the next layer follow this node, for example after a side branch."""
        self._latest = name

    @property
    def latest(self) -> str:
        """Return the name of the node that the next layer follows by default, or of the images."""
        return self._latest

    def build(self) -> Network:
        """Return the finished network."""
        return Network(
            name=self._name,
            input_shape=self._input_shape,
            nodes=tuple(self._nodes.values()),
            taps=dict(self._taps),
            blocks=dict(self._blocks),
            auxiliary=dict(self._auxiliary),
        )


def check_sizes(parameters: Sequence[Parameter]) -> None:
    """Refuse a tensor that no machine can hold.

    Raises:
        UsageError: A size is a typing error; the message has the tensor's shape.
    """
    for parameter in parameters:
        if parameter.size > MOST_VALUES:
            raise UsageError(
                f"Got the tensor {parameter.name} of shape {parameter.shape}. Expected at most "
                f"{MOST_VALUES:,} values. Try a smaller number of channels or classes."
            )
