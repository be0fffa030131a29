"""LoRA in PyTorch (arXiv 2106.09685): the trained low-rank term of a frozen kernel."""

import torch
from torch import nn

from .declared import Declared


class LowRank(Declared):
    """The term scale * B(A(x)) of two layers without biases: (N, …) -> (N, …)."""

    def __init__(self, a: nn.Module, b: nn.Module, *, scale: float, dtype: str = "float32") -> None:
        super().__init__()
        self.a, self.b, self.scale = a, b, scale

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply A, whose outputs are narrow, then the factor, then B."""
        return self.b(self.a(inputs) * self.scale)


def train_low_rank(layer: nn.Module) -> nn.Module:
    """Freeze a layer that has terms, except the terms; return it."""
    terms = [module for module in layer.modules() if isinstance(module, LowRank)]
    if terms:
        layer.requires_grad_(False)
    for term in terms:
        term.requires_grad_(True)
    return layer
