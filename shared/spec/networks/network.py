"""A network as data: named layers, what feeds what, whose values have names.

One declaration serves both backends, the counts, the shapes and the noise.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from poc.shared.errors import UsageError

from .cancellation import added_constants, hands_constants_on
from .layers import BatchNorm, Dropout, Layer, Parameter, Shape, StochasticDepth
from .nodes import Block, Node, Step, bypass, find_embedding, plan, resolve

__all__ = ["IMAGES", "Block", "Network", "Node", "Step"]

IMAGES = "images"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A whole network: nodes in the order of computation; the last one gives the logits.

    A tap is a node whose value is read out: `taps` maps its public name to the node, and under its
    own name every node is one. `blocks` are the parts that can be left out. `auxiliary` maps a
    node with logits of its own to its weight in the training loss; evaluation does not compute it.
    `observed` are the nodes whose values a loss reads beside the logits.
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
        """Every parameter, in the order of the nodes."""
        return tuple(parameter for node in self.nodes for parameter in node.parameters)

    @property
    def output(self) -> str:
        """Name of the node that gives the logits."""
        return self.nodes[-1].name

    def plan(
        self, wanted: Collection[str], *, training: bool, given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """What to compute, in order, to have the values of `wanted` where `given` are known."""
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
        """The nodes that the values of `wanted` depend on, in the order of computation."""
        names = set(wanted)
        for node in reversed(self.nodes):
            if node.name in names:
                names.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in names)

    @property
    def head(self) -> Node:
        """The last layer with parameters: the classifier."""
        return next(node for node in reversed(self.nodes) if node.parameters)

    @property
    def embedding(self) -> str:
        """Name of the node that the classifier reads, before the dropout in front of it.

        Raises:
            UsageError: No classifier ends the network.
        """
        name = find_embedding(self.nodes)
        if name is None:
            raise UsageError(
                f"received {self.name}, which ends in no classifier and has no embedding; allowed "
                "are models with a head: choose one"
            )
        return name

    def shape_of(self, name: str) -> Shape:
        """Output shape of a node, or of the images."""
        shapes = {IMAGES: self.input_shape, **{n.name: n.output_shape for n in self.nodes}}
        return shapes[name]

    def beside(self, name: str, layer: Layer, *inputs: str) -> "Network":
        """The network with a side branch of one more layer; the logits stay what they are.

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
        """The network whose values at these nodes a loss reads."""
        return replace(self, observed=self.observed | frozenset(names))

    def training_only(self, names: Collection[str]) -> "Network":
        """The network of which only these nodes are trained."""
        nodes = tuple(
            replace(node, is_frozen=node.is_frozen or node.name not in names)
            if node.parameters
            else node
            for node in self.nodes
        )
        return replace(self, nodes=nodes)

    def node_of(self, tap: str) -> str:
        """Node behind a tap; `logits` is the output, a node's own name the node.

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
        """Multiply-adds of one forward pass over one image, auxiliary heads left out."""
        steps = self.plan([self.output], training=False)
        return sum(node.macs for step in steps for node in step.nodes)

    @property
    def learnable_parameters(self) -> int:
        """Values that gradients reach where nothing is frozen."""
        return sum(node.learnable_parameters for node in self.nodes)

    @property
    def live_parameters(self) -> int:
        """Values less those of kernels that meet nothing but padding at this input size."""
        total = sum(parameter.size for parameter in self.parameters)
        return total - sum(node.dead_parameters for node in self.nodes)

    @cached_property
    def users(self) -> Mapping[str, tuple[Node, ...]]:
        """Value -> the nodes that read it."""
        users: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for source in node.inputs:
                users[source] = (*users.get(source, ()), node)
        return users

    @cached_property
    def cancelled_biases(self) -> frozenset[str]:
        """Biases, and betas, that batch norms subtract again: their gradient is exactly zero.

        In floating point the gradient is rounding noise, which Adam follows at full rate
        (docs/decisions/0003).
        """
        return self.cancelled_beside(self.observed)

    def cancelled_beside(self, read: Collection[str] = ()) -> frozenset[str]:
        """The same where the loss reads these nodes too, and not the logits alone."""
        return frozenset(
            name
            for node in self.nodes
            if getattr(node.layer, "activation", None) is None
            and self._ends_in_norms(node.name, read)
            for name in added_constants(node)
        )

    def _ends_in_norms(self, name: str, read: Collection[str]) -> bool:
        """Whether a constant that is added to each channel of this value changes no output."""
        users = self.users.get(name, ())
        return (
            bool(users)
            and name not in read
            and all(
                user.uses_batch_statistics
                if user.layer.kind == BatchNorm.kind
                else hands_constants_on(user) and self._ends_in_norms(user.name, read)
                for user in users
            )
        )

    @property
    def dropouts(self) -> Mapping[str, tuple[Shape, float]]:
        """Name of each layer that is random by example -> (mask shape of one, drop rate)."""
        return {
            node.name: (node.layer.mask_shape(node.input_shapes), node.layer.rate)
            for node in self.nodes
            if isinstance(node.layer, Dropout | StochasticDepth)
            and not node.is_frozen
            and node.layer.rate > 0
            and node.name not in self.gates
        }

    @property
    def gates(self) -> Mapping[str, float]:
        """Name of each layer that drops its block for a whole batch -> drop rate."""
        return {
            node.name: node.layer.rate
            for node in self.nodes
            if isinstance(node.layer, StochasticDepth) and node.layer.is_gate and not node.is_frozen
        }

    @cached_property
    def removable(self) -> Mapping[str, Block]:
        """Parts that can be left out: the declared blocks; of a plain net, single convolutions.

        A convolution of a plain net counts where its output has the shape of its input, together
        with the batch norm and the activation that follow it.
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
        """The network whose blocks `names` are replaced by their shortcuts.

        Raises:
            UsageError: No such block.
        """
        if unknown := sorted(set(names) - set(self.removable)):
            raise UsageError(
                f"received the block {unknown[0]!r} of {self.name} to remove; allowed are "
                f"{', '.join(self.removable) or 'none in this model'}: choose among them"
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
        """The network of which only the head, the last layer with parameters, is trained.

        Dropout right before the head stays.
        """
        first = 1 + [node.name for node in self.nodes].index(self.embedding)
        body = tuple(replace(node, is_frozen=True) for node in self.nodes[:first])
        return replace(self, nodes=body + self.nodes[first:])
