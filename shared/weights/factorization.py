"""Low-rank factors of kernels by truncated SVD, and the ranks that a budget affords."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array
from poc.shared.spec.networks.factors import (
    Factor,
    Variant,
    convolutions,
    full_rank,
    is_factorable,
    kernel_shape,
)
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Layer, Shape
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.nodes import Node

Kernel = NDArray[np.float64]
Measure = Literal["parameters", "macs"]


def as_matrix(kernel: Array, variant: Variant) -> Kernel:
    """Return a kernel (kh, kw, C, F) as the matrix whose rank the variant lowers.

    The matrix is (kh * kw * C, F) for `basis`, and (kh * C, kw * F) otherwise, in float64.
    """
    height, width, channels, filters = kernel.shape
    wide = np.asarray(kernel, np.float64)
    if variant == "basis":
        return wide.reshape(height * width * channels, filters)
    return wide.transpose(0, 2, 1, 3).reshape(height * channels, width * filters)


def split_kernel(kernel: Array, factor: Factor) -> tuple[Kernel, Kernel]:
    """Split a kernel (kh, kw, C, F) into the two factors of least error in the Frobenius norm.

    Truncated SVD gives them (Eckart and Young 1936).

    Returns:
        `reduce` (kh, kw or 1, C, r) and `expand` (1, 1 or kw, r, F); each takes the root of the
        singular values.
    """
    height, width, channels, filters = kernel.shape
    left, values, right = np.linalg.svd(as_matrix(kernel, factor.variant), full_matrices=False)
    roots = np.sqrt(values[: factor.rank])
    first, second = left[:, : factor.rank] * roots, roots[:, None] * right[: factor.rank]
    if factor.variant == "basis":
        return first.reshape(height, width, channels, -1), second[None, None]
    spread = second.reshape(-1, width, filters).transpose(1, 0, 2)
    return first.reshape(height, 1, channels, -1), spread[None]


def factorize_weights(weights: Weights, factors: Mapping[str, Factor]) -> Weights:
    """Return weights of the network with these factors, from those of the unfactored one.

    Each kernel (kh, kw, C, F) in `factors` becomes the two kernels of `split_kernel`.
    """
    found: Weights = dict(weights)
    for name, factor in factors.items():
        kernel = found.pop(f"{name}/kernel")
        for part, value in zip(("reduce", "expand"), split_kernel(kernel, factor), strict=True):
            found[f"{name}/{part}/kernel"] = value.astype(kernel.dtype)
        if f"{name}/bias" in found:
            # Added once, after the second factor, whose outputs are those of the convolution.
            found[f"{name}/expand/bias"] = found.pop(f"{name}/bias")
    return found


@dataclass
class Choice:
    """One convolution while ranks are chosen; rank 0 stands for the unfactored convolution."""

    name: str
    shares: list[float]
    costs: list[int]
    whole_cost: int
    rank: int = 1

    @property
    def gain(self) -> float:
        """Return the share of the kernel's energy that the next step adds."""
        return 1 - sum(self.shares[: self.rank]) if self.is_last else self.shares[self.rank]

    @property
    def price(self) -> int:
        """Return the additional cost of the next step, in parameters or multiply-adds."""
        following = self.whole_cost if self.is_last else self.costs[self.rank]
        return following - self.costs[self.rank - 1]

    @property
    def is_last(self) -> bool:
        """Say if the next step is the full convolution, than which one rank more costs no less."""
        return self.rank >= len(self.costs)

    def grow(self) -> None:
        """Take the next step: one rank more, or the full convolution."""
        self.rank = 0 if self.is_last else self.rank + 1


def choose_factors(
    network: Network,
    weights: Mapping[str, Array],
    *,
    variant: Variant,
    budget: int,
    measure: Measure,
) -> dict[str, Factor]:
    """Choose ranks under a budget: start at rank 1 and add the most energy per unit of cost.

    A convolution whose factors would cost no less stays unfactored.

    Args:
        network: The network with unfactored convolutions.
        weights: The network's trained `Weights`, with kernels (kh, kw, C, F).
        variant: Variant of every factor.
        budget: Largest cost of the network, in units of `measure`.
        measure: `parameters` (running statistics included) or `macs` of one image.

    Raises:
        UsageError: Rank 1 everywhere costs more than the budget.
    """
    candidates = [node for node in network.nodes if is_factorable(node)]
    choices = [start_choice(node, weights, variant, measure) for node in candidates]
    choices = [choice for choice in choices if choice.costs]
    spent = network_cost(network, measure)
    spent -= sum(choice.whole_cost - choice.costs[0] for choice in choices)
    if spent > budget:
        raise UsageError(
            f"Got a budget of {budget:,} {measure} for {network.name}. Expected at least "
            f"{spent:,}, the cost of rank 1 in every convolution. Try a larger budget."
        )
    while steps := [c for c in choices if c.rank and spent + c.price <= budget]:
        # A last step may be free; 1 keeps the quotient finite.
        best = max(steps, key=lambda choice: choice.gain / max(choice.price, 1))
        spent += best.price
        best.grow()
    return {c.name: Factor(variant=variant, rank=c.rank) for c in choices if c.rank}


def start_choice(
    node: Node, weights: Mapping[str, Array], variant: Variant, measure: Measure
) -> Choice:
    """Return the energies of a convolution's ranks, and the costs of ranks that save something.

    The kernel among the `Weights` is (kh, kw, C, F).
    """
    values = np.linalg.svd(as_matrix(weights[f"{node.name}/kernel"], variant), compute_uv=False)
    whole = layer_cost(node.layer, node.input_shapes, measure)
    costs = [
        factored_cost(node, Factor(variant=variant, rank=rank), measure)
        for rank in range(1, full_rank(kernel_shape(node), variant) + 1)
    ]
    total = max(float((values**2).sum()), np.finfo(np.float64).tiny)
    # Costs rise with the rank, so the ranks that are kept are the first ones.
    return Choice(
        node.name, list(values**2 / total), [cost for cost in costs if cost < whole], whole
    )


def network_cost(network: Network, measure: Measure) -> int:
    """Count parameters or multiply-adds of a network, as `poc models summary` does."""
    if measure == "macs":
        return network.macs
    return sum(parameter.size for parameter in network.parameters)


def layer_cost(layer: Layer, inputs: Sequence[Shape], measure: Measure) -> int:
    """Count parameters or multiply-adds of one layer."""
    if measure == "macs":
        return layer.macs(inputs)
    return sum(parameter.size for parameter in layer.parameters(inputs))


def factored_cost(node: Node, factor: Factor, measure: Measure) -> int:
    """Count parameters or multiply-adds of a convolution's two factors."""
    if not isinstance(node.layer, Conv2D):
        raise ValueError(f"Got the node {node.name}. Expected a convolution.")
    first, second = convolutions(node.layer, factor)
    middle = [first.output_shape(node.input_shapes)]
    return layer_cost(first, node.input_shapes, measure) + layer_cost(second, middle, measure)


def discarded_energy(kernel: Array, factor: Factor) -> float:
    """Return the share of a kernel's squared Frobenius norm that its factors leave out.

    The kernel is (kh, kw, C, F); the share is from 0 to 1.
    """
    values = np.linalg.svd(as_matrix(kernel, factor.variant), compute_uv=False) ** 2
    return float(values[factor.rank :].sum() / max(float(values.sum()), np.finfo(np.float64).tiny))
