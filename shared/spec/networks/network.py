"""A network as plain data: named layers, their inputs, and names for their values.

One declaration serves both backends, the counts, the shapes and the noise.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from poc.shared.errors import UsageError
from poc.shared.spec.suggestions import likeliest

from .cancellation import added_constants, hands_constants_on, inert_biases
from .layers.declaration import Layer, Parameter, Shape
from .layers.elementwise import BatchNorm, Dropout
from .layers.residual import StochasticDepth
from .nodes import Block, Node, Step, bypass, find_embedding, plan, resolve

__all__ = ["IMAGES", "Block", "Network", "Node", "Step"]

IMAGES = "images"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network: nodes in the order of computation, of which the last one gives the logits.

    A tap is a node whose value can be read: `taps` maps public names to nodes, and every node is a
    tap under its own name. `blocks` are the parts that can be left out. `auxiliary` maps a node
    with logits of its own to its weight in the training loss; evaluation does not compute it.
    `observed` are the nodes whose values a loss reads in addition to the logits.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    taps: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
    auxiliary: Mapping[str, float] = field(default_factory=dict)
    observed: frozenset[str] = frozenset()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return all parameters, in the order of the nodes."""
        return tuple(parameter for node in self.nodes for parameter in node.parameters)

    @property
    def output(self) -> str:
        """Return the name of the node that gives the logits."""
        return self.nodes[-1].name

    def plan(
        self, wanted: Collection[str], *, training: bool, given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """Plan the steps that compute the values of `wanted` if those of `given` are known."""
        key = (tuple(wanted), training, tuple(given))
        if key not in self._plans:
            self._plans[key] = plan(
                self.nodes, self.blocks.values(), wanted, training=training, given=given
            )
        return self._plans[key]

    @cached_property
    def _plans(self) -> dict[tuple[tuple[str, ...], bool, tuple[str, ...]], tuple[Step, ...]]:
        return {}

    def needed(self, wanted: Collection[str]) -> tuple[Node, ...]:
        """Return the nodes that the values of `wanted` depend on, in the order of computation."""
        names = set(wanted)
        for node in reversed(self.nodes):
            if node.name in names:
                names.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in names)

    @property
    def head(self) -> Node:
        """Return the last layer with parameters: the classifier."""
        return next(node for node in reversed(self.nodes) if node.parameters)

    @property
    def embedding(self) -> str:
        """Return the name of the node that the classifier reads, before the dropout between them.

        Raises:
            UsageError: No classifier ends the network.
        """
        name = find_embedding(self.nodes)
        if name is None:
            raise UsageError(
                f"Got the model {self.name}, which does not end in a classifier and has no "
                "embedding. Expected a model with a head. Try another one of `poc models list`."
            )
        return name

    def shape_of(self, name: str) -> Shape:
        """Return the output shape of a node, or the shape of the images, without the batch."""
        shapes = {IMAGES: self.input_shape, **{n.name: n.output_shape for n in self.nodes}}
        return shapes[name]

    def beside(self, name: str, layer: Layer, *inputs: str) -> "Network":
        """Return the network with one more layer as a side branch; the logits do not change.

        Raises:
            UsageError: The shapes do not fit.
        """
        shapes = tuple(self.shape_of(source) for source in inputs)
        node = Node(
            name=name,
            layer=layer,
            inputs=inputs,
            input_shapes=shapes,
            output_shape=layer.output_shape(shapes),
        )
        return replace(self, nodes=(*self.nodes[:-1], node, self.nodes[-1]))

    def observing(self, names: Collection[str]) -> "Network":
        """Return the network with these nodes marked as read by a loss."""
        return replace(self, observed=self.observed | frozenset(names))

    def training_only(self, names: Collection[str]) -> "Network":
        """Return the network with all parameters frozen except those of these nodes."""
        nodes = tuple(
            replace(node, is_frozen=node.is_frozen or node.name not in names)
            if node.parameters
            else node
            for node in self.nodes
        )
        return replace(self, nodes=nodes)

    def node_of(self, tap: str) -> str:
        """Return the node of a tap; `logits` is the output, and a node's own name the node.

        Raises:
            UsageError: No such tap.
        """
        taps = {**self.taps, "logits": self.output}
        if tap in taps:
            return taps[tap]
        if any(node.name == tap for node in self.nodes):
            return tap
        raise UsageError(
            f"Got the tap {tap!r} of {self.name}. Expected one of {', '.join(taps)}. Try "
            f"{likeliest(tap, taps)}."
        )

    @property
    def num_classes(self) -> int:
        """Return the number of logits."""
        return self.nodes[-1].output_shape[-1]

    @property
    def macs(self) -> int:
        """Return the multiply-adds of a forward pass over one image, without auxiliary heads."""
        steps = self.plan([self.output], training=False)
        return sum(node.macs for step in steps for node in step.nodes)

    @property
    def learnable_parameters(self) -> int:
        """Return the number of values that gradients reach if no layer is frozen."""
        return sum(node.learnable_parameters for node in self.nodes)

    @property
    def live_parameters(self) -> int:
        """Return the number of values without those that meet only padding at this input size."""
        total = sum(parameter.size for parameter in self.parameters)
        return total - sum(node.dead_parameters for node in self.nodes)

    @cached_property
    def users(self) -> Mapping[str, tuple[Node, ...]]:
        """Map each value to the nodes that read it."""
        users: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for source in node.inputs:
                users[source] = (*users.get(source, ()), node)
        return users

    @cached_property
    def cancelled_biases(self) -> frozenset[str]:
        """Return the biases and betas that batch norms subtract again, and the keys' biases.

        Their gradient is exactly zero. In floating point it is rounding noise, which Adam follows
        at full rate (docs/decisions/0003).
        """
        return self.cancelled_beside(self.observed)

    def cancelled_beside(
        self, read: Collection[str] = (), kept: Collection[str] = ()
    ) -> frozenset[str]:
        """Return the cancelled biases for a loss that reads these nodes besides the logits.

        `kept` are random branches that keep every example, and so change nothing.
        """
        inert = {name for node in self.nodes for name in inert_biases(node)}
        return frozenset(inert).union(
            name
            for node in self.nodes
            if getattr(node.layer, "activation", None) is None
            and self._ends_in_norms(node.name, read, kept)
            for name in added_constants(node)
        )

    def _ends_in_norms(self, name: str, read: Collection[str], kept: Collection[str]) -> bool:
        """Return whether no output changes if each channel of this value gets a constant."""
        users = self.users.get(name, ())
        return (
            bool(users)
            and name not in read
            and all(
                user.uses_batch_statistics
                if user.layer.kind == BatchNorm.kind
                else (hands_constants_on(user) or user.name in kept)
                and self._ends_in_norms(user.name, read, kept)
                for user in users
            )
        )

    @property
    def dropouts(self) -> Mapping[str, tuple[Shape, float]]:
        """Map each layer that needs masks per example to (mask shape of one example, drop rate)."""
        return {
            node.name: (node.layer.mask_shape(node.input_shapes), node.layer.rate)
            for node in self.nodes
            if isinstance(node.layer, Dropout | StochasticDepth)
            and node.needs_mask
            and node.name not in self.gates
        }

    @property
    def gates(self) -> Mapping[str, float]:
        """Map each layer that drops its block for a full batch to its drop rate."""
        return {
            node.name: node.layer.rate
            for node in self.nodes
            if isinstance(node.layer, StochasticDepth) and node.layer.is_gate and not node.is_frozen
        }

    @cached_property
    def removable(self) -> Mapping[str, Block]:
        """Return the parts that can be left out: the declared blocks, or single convolutions.

        A network without blocks has single convolutions. One counts if its output has the shape of
        its input, and it includes the batch norm and the activation that follow it.
        """
        if self.blocks:
            return self.blocks
        return {
            node.name: Block(
                nodes=self._with_followers(node), shortcut=node.inputs[0], is_identity=True
            )
            for node in self.nodes
            if node.layer.kind == "conv2d" and node.input_shapes[0] == node.output_shape
        }

    def _with_followers(self, node: Node) -> tuple[str, ...]:
        names = [node.name]
        while len(users := self.users.get(names[-1], ())) == 1:
            if users[0].layer.kind not in ("batch_norm", "activation"):
                break
            names.append(users[0].name)
        return tuple(names)

    def without(self, names: Collection[str]) -> "Network":
        """Return the network in which shortcuts replace the blocks `names`.

        Raises:
            UsageError: No such block.
        """
        if unknown := sorted(set(names) - set(self.removable)):
            raise UsageError(
                f"Got the block {unknown[0]!r} of {self.name} to remove. Expected "
                + (
                    f"one of {', '.join(self.removable)}. Try "
                    f"{likeliest(unknown[0], self.removable)}."
                    if self.removable
                    else "none, since this model has no blocks. Try removing model.removed."
                )
            )
        gone = [self.removable[name] for name in names]
        stands_for = {block.output: block.shortcut for block in gone}
        return replace(
            self,
            nodes=bypass(self.nodes, gone),
            taps={tap: resolve(node, stands_for) for tap, node in self.taps.items()},
            blocks={
                name: replace(block, shortcut=resolve(block.shortcut, stands_for))
                for name, block in self.blocks.items()
                if name not in names
            },
        )

    def with_frozen_body(self) -> "Network":
        """Return the network with all layers frozen up to the head, the last with parameters.

        The dropout right before the head stays active.
        """
        first = 1 + [node.name for node in self.nodes].index(self.embedding)
        body = tuple(replace(node, is_frozen=True) for node in self.nodes[:first])
        return replace(self, nodes=body + self.nodes[first:])
