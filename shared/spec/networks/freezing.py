"""Frozen and trained parts of a pretrained network: blocks from the head backwards, batch norms.

These are plain functions from one declared network to another; both backends build the result.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from poc.shared.errors import UsageError

from .layers.elementwise import BatchNorm, Dropout
from .layers.neighbours import NearestNeighbours
from .layers.residual import StochasticDepth
from .network import IMAGES, Network
from .nodes import Node

NormMode = Literal["frozen", "adapt_all", "adapt_last_stats", "adapt_last_affine"]
TrainedBlocks = int | Literal["all"]
# Hidden dense layers of VGG, which belong to the head. That of MobileNetV3 does not: it follows the
# pool, and fine-tuning in the libraries keeps it.
HIDDEN_LAYERS = ("dense1", "dense2")
# Names such as stage3/block2/conv1 have the block in two parts, others (mixed10/five/conv) in one.
STAGE_PREFIXES = ("stage", "layer")


def head_names(network: Network) -> tuple[str, ...]:
    """Return the nodes of the head, in order: one dense layer, three in VGG, and the dropouts."""
    by_name = {node.name: node for node in network.nodes}
    names = [network.output]
    while (source := by_name[names[-1]].inputs[0]) in by_name:
        if source not in HIDDEN_LAYERS and by_name[source].layer.kind != Dropout.kind:
            break
        names.append(source)
    return tuple(reversed(names))


def body_units(network: Network) -> tuple[tuple[str, ...], ...]:
    """Return the blocks of the body, first to last, each as the names of its layers.

    Layers without a kernel of their own (a norm, a pool) belong to the block before them. Side
    branches that evaluation does not compute are left out.
    """
    head = set(head_names(network))
    units: dict[str, list[Node]] = {}
    for node in network.needed([network.output]):
        if node.name not in head:
            units.setdefault(unit_of(node.name), []).append(node)
    merged: list[list[str]] = []
    for nodes in units.values():
        has_kernel = any(p.name.endswith("/kernel") for node in nodes for p in node.parameters)
        names = [node.name for node in nodes]
        if has_kernel or not merged:
            merged.append(names)
        else:
            merged[-1].extend(names)
    return tuple(tuple(names) for names in merged)


def unit_of(name: str) -> str:
    """Return the block in a layer's name: `layer4/2`, `stage1/block3`, `mixed10`, `top`."""
    parts = name.split("/")
    folders = parts[:-1] or parts
    depth = 2 if folders[0].startswith(STAGE_PREFIXES) else 1
    return "/".join(folders[:depth])


def has_norm(network: Network) -> bool:
    """Return whether a network has a batch norm."""
    return any(node.layer.kind == BatchNorm.kind for node in network.nodes)


def last_norm(network: Network, option: str, bn_mode: NormMode) -> str:
    """Return the last batch norm before the head, in the order of computation.

    Args:
        network: The network.
        option: Name of the option that asks for it, for the message.
        bn_mode: Its value.

    Raises:
        UsageError: The network has no batch norm.
    """
    norms = [node.name for node in network.nodes if node.layer.kind == BatchNorm.kind]
    if not norms:
        raise UsageError(
            f"Got {option}={bn_mode} for {network.name}, which has no batch norm. Expected "
            f"{option}=frozen. Try --set {option}=frozen."
        )
    return norms[-1]


def partly_frozen(
    network: Network,
    *,
    trained_blocks: TrainedBlocks,
    bn_mode: NormMode,
    body_rate: float = 1.0,
    rate_decay: float = 1.0,
    option: str = "bn_mode",
) -> Network:
    """Freeze a network except its head and the last blocks of its body.

    Args:
        network: The network to freeze.
        trained_blocks: Number of the body's blocks that train, counted from the head, or "all".
        bn_mode: Rule for the batch norms, see `docs/methods/transfer.md`.
        body_rate: Learning rate of the last trained block, as a share of the head's.
        rate_decay: Learning rate of a trained block, as a share of that of the next one.
        option: Name of the option that gives `bn_mode`, for messages.

    Raises:
        UsageError: More blocks than the body has, or no batch norm to adapt.
    """
    units = body_units(network)
    count = len(units) if trained_blocks == "all" else trained_blocks
    if count > len(units):
        raise UsageError(
            f"Got trained_blocks={count} for {network.name}, whose body has {len(units)} "
            f"blocks. Expected 0 to {len(units)}, or all. Try trained_blocks=all."
        )
    rates = dict.fromkeys(head_names(network), 1.0)
    for distance, names in enumerate(reversed(units[len(units) - count :])):
        rates |= dict.fromkeys(names, body_rate * rate_decay**distance)
    is_last_alone = bn_mode in ("adapt_last_stats", "adapt_last_affine")
    chosen = last_norm(network, option, bn_mode) if is_last_alone else ""
    nodes = tuple(freeze(node, rates, bn_mode, chosen, body_rate) for node in network.nodes)
    return replace(network, nodes=nodes, auxiliary={})


def only_last_free(network: Network) -> Network:
    """Freeze a network except its last layer; auxiliary heads are left out."""
    nodes = tuple(replace(node, is_frozen=True) for node in network.nodes[:-1])
    return replace(network, nodes=(*nodes, network.nodes[-1]), auxiliary={})


def freeze(
    node: Node, rates: Mapping[str, float], bn_mode: NormMode, chosen: str, body_rate: float
) -> Node:
    """Freeze one node, or set the rate of a trained one; batch norms follow `bn_mode`.

    Args:
        node: The node.
        rates: Trained node -> factor on its learning rate.
        bn_mode: Rule for the batch norms.
        chosen: The only batch norm that adapts in the modes `adapt_last_…`.
        body_rate: Factor for that batch norm if `rates` does not name it.
    """
    is_trained, factor = node.name in rates, rates.get(node.name, 1.0)
    if node.layer.kind != BatchNorm.kind:
        return replace(node, is_frozen=not is_trained, rate_factor=factor)
    if bn_mode == "adapt_all":
        return replace(node, is_frozen=not is_trained, adapts=True, rate_factor=factor)
    if node.name != chosen:
        return replace(node, is_frozen=True)
    learns = bn_mode == "adapt_last_affine"
    return replace(
        node, is_frozen=not learns, adapts=True, rate_factor=rates.get(node.name, body_rate)
    )


def standalone(network: Network) -> Network:
    """Return the network as a user takes it home: all layers train, and no auxiliary heads."""
    nodes = tuple(
        replace(node, is_frozen=False, adapts=False, rate_factor=1.0)
        for node in network.needed([network.output])
    )
    names = {IMAGES, *(node.name for node in nodes)}
    return replace(
        network,
        nodes=nodes,
        taps={tap: node for tap, node in network.taps.items() if node in names},
        blocks={
            name: block for name, block in network.blocks.items() if names.issuperset(block.nodes)
        },
        auxiliary={},
        observed=frozenset(),
    )


def constant_nodes(network: Network) -> frozenset[str]:
    """Return the nodes whose value for an image is the same in every epoch, with the images."""
    constant = {IMAGES}
    for node in network.nodes:
        if stands_still(node) and constant.issuperset(node.inputs):
            constant.add(node.name)
    return frozenset(constant)


def stands_still(node: Node) -> bool:
    """Return whether a node computes the same function in every step."""
    is_random = isinstance(node.layer, Dropout | StochasticDepth) and node.layer.rate > 0
    if node.layer.kind == BatchNorm.kind:
        return node.is_frozen and not node.adapts
    return node.is_frozen or not (is_random or node.learnable_parameters or is_filled(node))


def is_filled(node: Node) -> bool:
    """Return whether training fills a node's parameters, although no gradient reaches them."""
    return node.layer.kind == NearestNeighbours.kind and not node.is_frozen


def moving_names(network: Network) -> frozenset[str]:
    """Return the names of parameters and running statistics that training may change."""
    return frozenset(
        parameter.name
        for node in network.nodes
        for parameter in node.parameters
        if parameter.is_trainable
        or is_filled(node)
        or (node.layer.kind == BatchNorm.kind and node.uses_batch_statistics)
    )


def frontier(network: Network, read: Collection[str] = ()) -> tuple[str, ...]:
    """Return the constant values that the trained part reads; empty if it reads the images.

    An epoch needs no other values of its images, so they can be computed once and kept.
    """
    constant = constant_nodes(network)
    needed = network.needed([network.output, *read])
    found = [
        source
        for node in needed
        if node.name not in constant
        for source in node.inputs
        if source in constant
    ]
    ordered: Sequence[str] = tuple(dict.fromkeys(found))
    return () if IMAGES in ordered else tuple(ordered)
