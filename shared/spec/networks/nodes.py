"""Parts of a declared network, and in which order they are computed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from .layers import Dropout, Flatten, Layer, Parameter, Shape, prefixed


@dataclass(frozen=True, kw_only=True)
class Node:
    """One layer in its place: canonical name, declaration, inputs and shapes (batch left out).

    A frozen node keeps its parameters: gradients do not reach them, a batch norm normalises with
    its running statistics and leaves them alone, and a random layer stands still. A frozen batch
    norm that `adapts` normalises with the batch and re-estimates its statistics all the same.
    `rate_factor` multiplies the learning rate of the node's parameters.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    is_frozen: bool = False
    adapts: bool = False
    rate_factor: float = 1.0

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a batch norm here normalises with the batch in training."""
        return self.adapts or not self.is_frozen

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters under their canonical names, `node/…/kernel`."""
        named = (
            prefixed(self.name, parameter) for parameter in self.layer.parameters(self.input_shapes)
        )
        if self.is_frozen:
            return tuple(replace(parameter, is_trainable=False) for parameter in named)
        if self.rate_factor != 1:
            return tuple(replace(parameter, rate_factor=self.rate_factor) for parameter in named)
        return tuple(named)

    @property
    def learnable_parameters(self) -> int:
        """Values that gradients reach where the node is not frozen."""
        declared = self.layer.parameters(self.input_shapes)
        return sum(parameter.size for parameter in declared if parameter.is_trainable)

    @property
    def dead_parameters(self) -> int:
        """Values that no pixel meets at this input size; only convolutions have such."""
        count = getattr(self.layer, "dead_parameters", None)
        return count(self.input_shapes) if count else 0

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.layer.macs(self.input_shapes)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Nodes that can be left out as a whole, with what then stands for the last one's output.

    `shortcut` names a node outside, of the same shape. `is_identity` says that it is the block's
    own input, not a projection of it. `gate` names the random layer that decides for a whole batch
    whether the block is computed, if there is one.
    """

    nodes: tuple[str, ...]
    shortcut: str
    is_identity: bool
    gate: str = ""

    @property
    def output(self) -> str:
        """Name of the last node."""
        return self.nodes[-1]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Nodes that are computed together, and the values that nothing needs afterwards.

    With a `gate`, the nodes run only where the noise of that name says so; otherwise `shortcut`
    stands for their output.
    """

    nodes: tuple[Node, ...]
    freed: tuple[str, ...] = ()
    gate: str = ""
    shortcut: str = ""

    @property
    def output(self) -> str:
        """Name of the value that the step computes."""
        return self.nodes[-1].name

    @property
    def sources(self) -> frozenset[str]:
        """Values from outside that the step reads."""
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
    """Steps that compute `wanted`: nothing that they do not need, gated blocks as one step.

    The values `given` are known beforehand, so neither they nor what leads to them is computed.
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
    """Names of the nodes that `wanted` depends on, themselves included, without the given ones."""
    needed = set(wanted) - set(given)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(set(node.inputs) - set(given))
    return needed


def find_embedding(nodes: Sequence[Node]) -> str | None:
    """Name of what the classifier reads; none where several values make the network's output.

    Where there is one, it is the last value of shape (F,) before the classifier's dropout: a
    flattened map counts, unless something of it was dropped before. Otherwise it is what the
    classifier reads, of any shape.
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


def freeing(steps: Sequence[Step], wanted: Collection[str]) -> tuple[Step, ...]:
    """The steps, each with the values whose last reader it is."""
    seen, finished = set(wanted), []
    for step in reversed(steps):
        freed = step.sources - seen
        seen |= freed
        finished.append(replace(step, freed=tuple(sorted(freed))))
    return tuple(reversed(finished))


def bypass(nodes: Sequence[Node], blocks: Collection[Block]) -> tuple[Node, ...]:
    """The nodes without those of `blocks`; their readers read the shortcut instead."""
    gone = {name for block in blocks for name in block.nodes}
    stands_for = {block.output: block.shortcut for block in blocks}
    return tuple(
        replace(node, inputs=tuple(resolve(name, stands_for) for name in node.inputs))
        for node in nodes
        if node.name not in gone
    )


def resolve(name: str, stands_for: Mapping[str, str]) -> str:
    """What a value is read from, where blocks in a row may be gone."""
    while name in stands_for:
        name = stands_for[name]
    return name
