"""LoRA as a setting of a run: the layers that get a trained low-rank term, and what then learns."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NoReturn

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings

from .freezing import head_names
from .layers.attention import PROJECTIONS, SelfAttention
from .layers.convolution import Conv2D, PointwiseConv2D
from .layers.dense import Dense
from .layers.elementwise import Dropout
from .layers.lora import FIRST, Lora, largest_rank
from .layers.residual import StochasticDepth
from .network import Network
from .nodes import Node

# Word for a kind of layer -> kinds of declarations. A depthwise convolution has one filter per
# channel, which has no lower rank.
KINDS = {
    "attention": (SelfAttention.kind,),
    "dense": (Dense.kind,),
    "conv": (Conv2D.kind, PointwiseConv2D.kind),
}


class LoraSpec(Settings):
    """LoRA (arXiv 2106.09685): layers whose kernel is frozen, with a trained low-rank term."""

    rank: int | None = Field(
        None,
        ge=1,
        examples=[8],
        description="number of columns of A, and of rows of B; none: no terms",
    )
    alpha: float | None = Field(
        None,
        gt=0,
        examples=[16],
        description="factor on the term, divided by the rank; none: the rank, so that the factor "
        "is 1",
    )
    targets: tuple[str, ...] = Field(
        ("attention",),
        min_length=1,
        examples=[["attention", "dense"]],
        description="layers of the body that get a term: attention, dense, conv, or patterns of "
        "names, such as block1/* or */query",
    )

    @property
    def term(self) -> Lora | None:
        """Return the declaration of one layer's term; none if no layer has one."""
        if self.rank is None:
            return None
        return Lora(rank=self.rank, alpha=float(self.rank if self.alpha is None else self.alpha))


def with_lora(network: Network, spec: LoraSpec) -> Network:
    """Add the terms that the settings name; without a rank, return the network unchanged.

    Raises:
        UsageError: A target matches no layer, or none with so high a rank.
    """
    term = spec.term
    if term is None:
        return network
    chosen = set[str]()
    for target in spec.targets:
        chosen |= find_targets(network, target, term.rank)
    nodes = tuple(adapt_node(node, term, chosen) for node in network.nodes)
    return training_lora(replace(network, nodes=nodes))


def find_targets(network: Network, target: str, rank: int) -> set[str]:
    """Return the names of the kernels' layers that a target matches.

    A layer whose kernel has a lower rank than the term is left out.

    Raises:
        UsageError: None is left.
    """
    found = {name: node for node, name in candidates(network) if matches(node, name, target)}
    if not found:
        refuse_target(network, target)
    largest = {name: rank_of(node) for name, node in found.items()}
    if rank > max(largest.values()):
        most = max(largest.values())
        raise UsageError(
            f"Got lora.rank={rank} with lora.targets {target!r}, whose kernels have the rank "
            f"{most} at most. Expected at most {most}. Try lora.rank={most}."
        )
    return {name for name in found if rank <= largest[name]}


def refuse_target(network: Network, target: str) -> NoReturn:
    """Refuse a target that matches no layer.

    Raises:
        UsageError: Always; it names what the network has.
    """
    words = [
        word
        for word, kinds in KINDS.items()
        if any(node.layer.kind in kinds for node, _ in candidates(network))
    ]
    advice = f'lora.targets=["{words[0]}"]' if words else "another model"
    raise UsageError(
        f"Got lora.targets with {target!r}, which matches no layer of {network.name} before its "
        f"head, which trains in full. Expected {', '.join((*words, 'a pattern of names'))}. Try "
        f"{advice}."
    )


def rank_of(node: Node) -> int:
    """Return the largest rank of a term of this node's kernel."""
    groups = node.layer.groups if isinstance(node.layer, Conv2D) else 1
    return largest_rank(node.layer.parameters(node.input_shapes)[0], groups)


def candidates(network: Network) -> Iterator[tuple[Node, str]]:
    """Yield the nodes of the body that can have a term, with the name of each of their kernels."""
    head = {*head_names(network), network.head.name}
    for node in network.needed([network.output]):
        if node.name in head:
            continue
        if isinstance(node.layer, SelfAttention):
            yield from ((node, f"{node.name}/{part}") for part in PROJECTIONS)
        elif isinstance(node.layer, Dense | Conv2D):
            yield node, node.name


def matches(node: Node, name: str, target: str) -> bool:
    """Say if a target means a kernel: by the kind of its layer, or by a pattern of names."""
    if target in KINDS:
        return node.layer.kind in KINDS[target]
    return fnmatchcase(name, target) or fnmatchcase(node.name, target)


def adapt_node(node: Node, lora: Lora, chosen: set[str]) -> Node:
    """Give a node the term, if its name or that of one of its parts is chosen."""
    layer = node.layer
    parts = tuple(part for part in PROJECTIONS if f"{node.name}/{part}" in chosen)
    if isinstance(layer, SelfAttention) and parts:
        return replace(node, layer=replace(layer, lora=lora, adapted=parts))
    if isinstance(layer, Dense | Conv2D) and node.name in chosen:
        return replace(node, layer=replace(layer, lora=lora))
    return node


def training_lora(network: Network) -> Network:
    """Return the network in which the terms learn, and random layers after the first one act.

    Nothing before that one is changed, so that the outputs of a frozen beginning can be kept.
    """
    nodes, moving = list[Node](), set[str]()
    for node in network.nodes:
        is_after = not moving.isdisjoint(node.inputs)
        is_random = is_after and isinstance(node.layer, Dropout | StochasticDepth)
        if is_adapted(node) or is_random:
            node = replace(node, is_frozen=False)
        if is_adapted(node) or is_after:
            moving.add(node.name)
        nodes.append(node)
    return replace(network, nodes=tuple(nodes)) if moving else network


def is_adapted(node: Node) -> bool:
    """Return whether a node has a term."""
    return getattr(node.layer, "lora", None) is not None


def without_lora(network: Network) -> Network:
    """Return the plain network, for weights into which the terms were merged."""
    return replace(network, nodes=tuple(plain_node(node) for node in network.nodes))


def plain_node(node: Node) -> Node:
    """Return a node without its term."""
    layer = node.layer
    if isinstance(layer, SelfAttention):
        return replace(node, layer=replace(layer, lora=None, adapted=()))
    if isinstance(layer, Dense | Conv2D):
        return replace(node, layer=replace(layer, lora=None))
    return node


def adapted_kernels(network: Network) -> dict[str, tuple[str, float]]:
    """Map each kernel with a term to the name of its layer and the factor on the term."""
    return {
        f"{owner}/kernel": (owner, node.layer.lora.scale)
        for node in network.nodes
        if isinstance(node.layer, Dense | Conv2D | SelfAttention) and node.layer.lora is not None
        for owner in owners(node)
    }


def owners(node: Node) -> Sequence[str]:
    """Return the names of a node's layers that have a term: its own, or those of its parts."""
    ends = [p.name.removesuffix(f"/{FIRST}") for p in node.parameters if p.name.endswith(FIRST)]
    return tuple(ends)
