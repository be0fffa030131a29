"""Pairs of kernels that act as one: nothing lies between them, so their product is one linear map.

Such pairs are the factors of `model.factors` and the two kernels of a light dense layer. A light
convolution has an activation between its kernels, and is none.
"""

from collections.abc import Collection
from dataclasses import dataclass

from .layers.light import LightDense
from .network import Network


@dataclass(frozen=True, kw_only=True)
class Product:
    """The kernel W = scale * A B of a linear map, with A and B as matrices (…, r) and (r, …).

    Attributes:
        first: Name of A: (kh, kw or 1, C, r) or (in, r), whose last axis is r.
        second: Name of B: (1, 1 or kw, r, F) or (r, units), whose last but one axis is r.
        scale: Factor of the product in the layer.
    """

    first: str
    second: str
    scale: float = 1.0


def find_products(network: Network, factors: Collection[str]) -> tuple[Product, ...]:
    """Return the pairs of a network, in the order of its nodes.

    Args:
        network: The network.
        factors: Names of its convolutions that `model.factors` splits.
    """
    reduced = {f"{name}/reduce": name for name in factors}
    found = []
    for node in network.nodes:
        name = reduced.get(node.name)
        if name is not None:
            found.append(Product(first=f"{name}/reduce/kernel", second=f"{name}/expand/kernel"))
        elif isinstance(node.layer, LightDense):
            # The layer multiplies each kernel by its factor.
            scale = node.layer.factor**2
            first, second = f"{node.name}/reduce/kernel", f"{node.name}/expand/kernel"
            found.append(Product(first=first, second=second, scale=scale))
    return tuple(found)
