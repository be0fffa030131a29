"""Parts of a declared network, and the order in which they are computed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from .layers.attention import SelfAttention
from .layers.declaration import Initializer, Layer, Parameter, Shape, prefixed
from .layers.dense import Flatten
from .layers.elementwise import Dropout
from .layers.pooling import GlobalPool, Pool2D
from .layers.residual import StochasticDepth

# Layers after which a map says less of where things are, or nothing else.
SUMMARIES = (Dropout, GlobalPool, Pool2D)


@dataclass(frozen=True, kw_only=True)
class Node:
    """One layer of a network: canonical name, declaration, inputs and shapes without the batch.

    A frozen node keeps its parameters: gradients do not reach them, a batch norm normalises with
    its running statistics and does not change them, and a random layer does nothing. A frozen batch
    norm that `adapts` still normalises with the batch and re-estimates its statistics.
    `rate_factor` multiplies the learning rate of the node's parameters. `initializers` pairs the
    name of a parameter in the layer with the distribution that replaces the declared one.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    is_frozen: bool = False
    adapts: bool = False
    rate_factor: float = 1.0
    initializers: tuple[tuple[str, Initializer], ...] = ()

    @property
    def uses_batch_statistics(self) -> bool:
        """Return whether a batch norm at this node normalises with the batch in training."""
        return self.adapts or not self.is_frozen

    @property
    def needs_mask(self) -> bool:
        """Return whether training drops values here by a mask that it must be given."""
        layer = self.layer
        if not isinstance(layer, Dropout | StochasticDepth) or self.is_frozen or not layer.rate:
            return False
        return not (isinstance(layer, Dropout) and layer.has_own_stream)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters under their canonical names, `node/…/kernel`."""
        starts = dict(self.initializers)
        named = (
            prefixed(self.name, replace(parameter, initializer=starts[parameter.name]))
            if parameter.name in starts
            else prefixed(self.name, parameter)
            for parameter in self.layer.parameters(self.input_shapes)
        )
        if self.is_frozen:
            return tuple(replace(parameter, is_trainable=False) for parameter in named)
        if self.rate_factor != 1:
            return tuple(replace(parameter, rate_factor=self.rate_factor) for parameter in named)
        return tuple(named)

    @property
    def learnable_parameters(self) -> int:
        """Return the number of values that gradients reach if the node is not frozen."""
        declared = self.layer.parameters(self.input_shapes)
        return sum(parameter.size for parameter in declared if parameter.is_trainable)

    @property
    def dead_parameters(self) -> int:
        """Return the number of kernel values that meet only padding at this input size."""
        count = getattr(self.layer, "dead_parameters", None)
        return count(self.input_shapes) if count else 0

    @property
    def inner_values(self) -> int:
        """Return the number of values that the layer keeps for its gradient, without its output."""
        count = getattr(self.layer, "inner_values", None)
        return count(self.input_shapes) if count else 0

    @property
    def macs(self) -> int:
        """Return the multiply-adds for one image."""
        return self.layer.macs(self.input_shapes)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Nodes that can be left out together, and the value that then replaces their output.

    `shortcut` names a node outside with the same shape. `is_identity` is true if it is the block's
    own input, not a projection of it. `gate` names the random layer that decides for a full batch
    if the block is computed; empty without such a layer.
    """

    nodes: tuple[str, ...]
    shortcut: str
    is_identity: bool
    gate: str = ""

    @property
    def output(self) -> str:
        """Return the name of the last node."""
        return self.nodes[-1]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Nodes that are computed together, and the values that no later step needs.

    With a `gate`, the noise of that name decides if the nodes run; if not, `shortcut` replaces
    their output.
    """

    nodes: tuple[Node, ...]
    freed: tuple[str, ...] = ()
    gate: str = ""
    shortcut: str = ""

    @property
    def output(self) -> str:
        """Return the name of the value that the step computes."""
        return self.nodes[-1].name

    @property
    def sources(self) -> frozenset[str]:
        """Return the names of the values from outside that the step reads."""
        inside = {node.name for node in self.nodes}
        read = {source for node in self.nodes for source in node.inputs}
        return frozenset(read | ({self.shortcut} if self.gate else set())) - inside


def plan(
    nodes: Sequence[Node],
    blocks: Collection[Block],
    wanted: Collection[str],
    *,
    training: bool,
    given: Collection[str] = (),
) -> tuple[Step, ...]:
    """Plan the steps that compute `wanted`, without unneeded nodes; a gated block is one step.

    The values `given` are known beforehand, so neither they nor their own inputs are computed.
    """
    needed = needed_nodes(nodes, wanted, given)
    by_name = {node.name: node for node in nodes}
    gated = {
        block.output: block
        for block in blocks
        if training and block.gate and not by_name[block.gate].is_frozen
    }
    inside = {name for block in gated.values() for name in block.nodes}
    steps = []
    for node in nodes:
        if node.name not in needed:
            continue
        if node.name in gated:
            block = gated[node.name]
            members = tuple(by_name[name] for name in block.nodes)
            steps.append(Step(nodes=members, gate=block.gate, shortcut=block.shortcut))
        elif node.name not in inside:
            steps.append(Step(nodes=(node,)))
    return freeing(steps, wanted)


def needed_nodes(
    nodes: Sequence[Node], wanted: Collection[str], given: Collection[str] = ()
) -> set[str]:
    """Return the names of `wanted` and of all nodes that it depends on, without the given ones."""
    needed = set(wanted) - set(given)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(set(node.inputs) - set(given))
    return needed


def find_embedding(nodes: Sequence[Node]) -> str | None:
    """Find the name of the embedding, the value that the classifier reads.

    It is the last value of shape (F,) before the classifier's dropout. A flattened map counts,
    unless a dropout comes before it. If no such value exists, it is the classifier's input of any
    shape. None means that no classifier ends the network.
    """
    by_name = {node.name: node for node in nodes}
    last = nodes[-1]
    while not last.parameters and len(last.inputs) == 1 and last.inputs[0] in by_name:
        last = by_name[last.inputs[0]]
    if not last.parameters:
        return None
    name = before = last.inputs[0]
    shape = last.input_shapes[0]
    while name in by_name and isinstance((node := by_name[name]).layer, Dropout | Flatten):
        name = node.inputs[0]
        if isinstance(node.layer, Dropout):
            before, shape = name, node.input_shapes[0]
    return before if len(shape) == 1 else last.inputs[0]


def find_last_map(nodes: Sequence[Node]) -> str | None:
    """Find the last map (H, W, C) of several pixels that no pooling or dropout has made.

    No way from the images to the logits goes around it. Without one, it is the last such map of a
    single pixel. None means that there is no map. Tokens (T, C) that an attention still mixes count
    as maps; after the last one, a class token does not see the others.

    Args:
        nodes: Those that the logits depend on, in the order of computation.
    """
    mixers = [place for place, node in enumerate(nodes) if isinstance(node.layer, SelfAttention)]
    mixed = {node.name for node in nodes[: max(mixers, default=0)]}
    maps = [
        node
        for node in list_bottlenecks(nodes)
        if len(node.output_shape) == 3 or (len(node.output_shape) == 2 and node.name in mixed)
        if not isinstance(node.layer, SUMMARIES)
    ]
    wide = [node for node in maps if node.output_shape[:2] != (1, 1)]
    found = wide or maps
    return found[-1].name if found else None


def list_bottlenecks(nodes: Sequence[Node]) -> list[Node]:
    """List the nodes whose value is all that later nodes read of it and of what comes before."""
    last_reader = {source: place for place, node in enumerate(nodes) for source in node.inputs}
    found, latest = [], 0
    for place, node in enumerate(nodes):
        # `latest` is the last place at which an earlier value is read.
        latest = max([latest, *(last_reader[source] for source in node.inputs)])
        if latest <= place:
            found.append(node)
    return found


def freeing(steps: Sequence[Step], wanted: Collection[str]) -> tuple[Step, ...]:
    """Return the steps, each with the values that no later step reads."""
    seen, finished = set(wanted), []
    for step in reversed(steps):
        freed = step.sources - seen
        seen |= freed
        finished.append(replace(step, freed=tuple(sorted(freed))))
    return tuple(reversed(finished))


def bypass(nodes: Sequence[Node], blocks: Collection[Block]) -> tuple[Node, ...]:
    """Return the nodes without those of `blocks`, whose readers read the shortcut instead."""
    gone = {name for block in blocks for name in block.nodes}
    stands_for = {block.output: block.shortcut for block in blocks}
    return tuple(
        replace(node, inputs=tuple(resolve(name, stands_for) for name in node.inputs))
        for node in nodes
        if node.name not in gone
    )


def resolve(name: str, stands_for: Mapping[str, str]) -> str:
    """Return the node that replaces a value; several removed blocks may follow each other."""
    while name in stands_for:
        name = stands_for[name]
    return name
