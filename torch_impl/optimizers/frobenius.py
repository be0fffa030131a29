"""Decay of the product of two factors in place of each factor, in PyTorch.

Half the squared Frobenius norm of W = s A B has the gradients s^2 A (B B^T) and s^2 (A^T A) B
(Khodak et al., ICLR 2021, arXiv 2105.01029). The products in brackets are (r, r), so W is never
formed.
"""

from collections.abc import Mapping, Sequence

import torch

from poc.shared.spec.networks.products import Product


class FrobeniusDecay:
    """The gradient of coefficient / 2 * ||s A B||^2, added up over all pairs of factors.

    Args:
        products: The pairs, by the names of their variables.
        variables: Name -> variable of every parameter: A is (r, …), B is (F, r, …).
        coefficient: Factor of the gradient.
    """

    def __init__(
        self,
        products: Sequence[Product],
        variables: Mapping[str, torch.Tensor],
        *,
        coefficient: float,
    ) -> None:
        self.products, self.variables, self.coefficient = products, variables, coefficient

    @torch.no_grad()
    def add(self, gradients: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the gradients (…) by name, those of trained factors with their decay's added."""
        for product in self.products:
            first, second = (self.variables[name] for name in (product.first, product.second))
            scale = self.coefficient * product.scale**2
            rows = first.flatten(1)
            if product.first in gradients:
                # The rank is axis 1 of B, so each of its rows is one r of the product.
                columns = second.transpose(0, 1).flatten(1)
                added = (columns @ columns.T) @ rows
                gradients[product.first].add_(added.view(first.shape), alpha=scale)
            if product.second in gradients:
                added = torch.tensordot(second, rows @ rows.T, dims=([1], [0]))
                gradients[product.second].add_(added.movedim(-1, 1), alpha=scale)
        return dict(gradients)
