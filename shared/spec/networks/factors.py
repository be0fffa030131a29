"""Convolutions in two low-rank factors, as an option of every model.

basis: W = A @ B with A (kh, kw, C, r) and B (r, F): a convolution to r channels, then a 1x1 one.
spatial: A (kh, 1, C, r), B (1, kw, r, F): a vertical convolution, then a horizontal one. Nothing
lies between the factors, so both are one convolution of rank r (docs/methods/lightlayers.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings
from poc.shared.spec.suggestions import FEW, likeliest

from .layers.convolution import Conv2D
from .layers.declaration import Shape
from .network import Network
from .nodes import Block, Node

Variant = Literal["basis", "spatial"]
VARIANTS: tuple[Variant, ...] = ("basis", "spatial")


class Factor(Settings):
    """The form and the rank in which one convolution becomes two."""

    variant: Variant = Field(
        "spatial",
        description="form of the two convolutions; basis: full size, then 1x1; spatial: vertical, "
        "then horizontal",
    )
    rank: int = Field(ge=1, description="number of channels between the two convolutions")


def is_factorable(node: Node) -> bool:
    """Return whether a node is a convolution without groups."""
    return isinstance(node.layer, Conv2D) and node.layer.groups == 1


def kernel_shape(node: Node) -> Shape:
    """Return the kernel shape (kh, kw, C, F) of a convolution."""
    if not isinstance(node.layer, Conv2D):
        raise ValueError(f"Got the node {node.name}, a {node.layer.kind}. Expected a convolution.")
    return node.layer.kernel_shape(node.input_shapes)


def full_rank(shape: Shape, variant: Variant) -> int:
    """Return the smallest rank that reproduces every kernel of the shape (kh, kw, C, F)."""
    height, width, channels, filters = shape
    if variant == "basis":
        return min(height * width * channels, filters)
    return min(height * channels, width * filters)


def convolutions(layer: Conv2D, factor: Factor) -> tuple[Conv2D, Conv2D]:
    """Declare the two convolutions; bias and activation belong to the second."""
    (height, width), (down, across) = layer.kernel_size, layer.strides
    padding = layer.padding
    if factor.variant == "basis":
        first = replace(layer, filters=factor.rank, use_bias=False, activation=None)
        return first, replace(layer, kernel_size=(1, 1), strides=(1, 1), padding="valid")
    vertical = horizontal = padding
    if not isinstance(padding, str):
        vertical, horizontal = (padding[0], (0, 0)), ((0, 0), padding[1])
    first = replace(
        layer,
        filters=factor.rank,
        kernel_size=(height, 1),
        strides=(down, 1),
        padding=vertical,
        use_bias=False,
        activation=None,
    )
    return first, replace(layer, kernel_size=(1, width), strides=(1, across), padding=horizontal)


def factorize(network: Network, factors: Mapping[str, Factor]) -> Network:
    """Replace each named convolution by two, `name/reduce` and `name/expand`.

    Raises:
        UsageError: No such convolution, or a rank above the full one.
    """
    nodes: list[Node] = []
    for node in network.nodes:
        inputs = tuple(second_of(name, factors) for name in node.inputs)
        nodes += split_node(replace(node, inputs=inputs), factors)
    if unknown := sorted(set(factors) - {node.name for node in network.nodes}):
        names = [node.name for node in network.nodes if is_factorable(node)]
        raise UsageError(
            f"Got model.factors for {unknown[0]!r}, which {network.name} does not have. "
            + explain_names(network.name, unknown[0], names)
        )
    return replace(
        network,
        nodes=tuple(nodes),
        taps={tap: second_of(name, factors) for tap, name in network.taps.items()},
        blocks={name: split_block(block, factors) for name, block in network.blocks.items()},
        auxiliary={second_of(n, factors): weight for n, weight in network.auxiliary.items()},
    )


def explain_names(model: str, unknown: str, names: Sequence[str]) -> str:
    """Write the end of a message about an unknown convolution, with the likeliest name."""
    if not names:
        return "Expected none, since no convolution here can be split. Try removing model.factors."
    known = (
        f"one of {', '.join(names)}"
        if len(names) <= FEW
        else f"one of the {len(names)} convolutions that `poc models summary {model}` lists"
    )
    return f"Expected {known}. Try {likeliest(unknown, names)}."


def second_of(name: str, factors: Mapping[str, Factor]) -> str:
    """Return the node that computes the former value of `name`."""
    return f"{name}/expand" if name in factors else name


def split_node(node: Node, factors: Mapping[str, Factor]) -> list[Node]:
    """Return the node's two factors, or the node itself if it is not named.

    Raises:
        UsageError: The node is not a convolution without groups, or the rank is above the full one.
    """
    if node.name not in factors:
        return [node]
    factor = factors[node.name]
    if not is_factorable(node) or not isinstance(node.layer, Conv2D):
        raise UsageError(
            f"Got model.factors for {node.name!r}, which is a {node.layer.kind}. Expected a "
            f"convolution without groups. Try removing {node.name!r} from model.factors."
        )
    largest = full_rank(kernel_shape(node), factor.variant)
    if factor.rank > largest:
        raise UsageError(
            f"Got rank={factor.rank} for {node.name!r}. Expected at most {largest}, which "
            f"reproduces its kernel. Try rank={largest}."
        )
    first, second = convolutions(node.layer, factor)
    middle = first.output_shape(node.input_shapes)
    reduce = replace(node, name=f"{node.name}/reduce", layer=first, output_shape=middle)
    expand = replace(
        node,
        name=f"{node.name}/expand",
        layer=second,
        inputs=(reduce.name,),
        input_shapes=(middle,),
    )
    return [reduce, expand]


def split_block(block: Block, factors: Mapping[str, Factor]) -> Block:
    """Return the block with the new nodes."""
    nodes = [
        new
        for name in block.nodes
        for new in ((f"{name}/reduce", f"{name}/expand") if name in factors else (name,))
    ]
    return replace(block, nodes=tuple(nodes), shortcut=second_of(block.shortcut, factors))
