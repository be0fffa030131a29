"""Layers of residual networks in PyTorch: scaled sums, gates, and branches that are dropped."""

import torch
from torch import nn


class ScaledAdd(nn.Module):
    """Sum with a scaled branch, x + scale * f, of maps (N, C, H, W) of one shape."""

    def __init__(self, scale: float, *, dtype: str = "float32") -> None:
        super().__init__()
        self.scale = scale

    def forward(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Add the scaled branch `residual` to `inputs`, (N, C, H, W) each."""
        return inputs + residual * self.scale


class StochasticDepth(nn.Module):
    """A branch that training may drop; masks (N, 1, …) bool are true where it is kept.

    Without a mask, training takes the branch as kept: otherwise its block would not have run.
    """

    def __init__(
        self,
        *,
        rate: float,
        is_gate: bool,
        training_factor: float,
        evaluation_factor: float,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.rate, self.is_gate = rate, is_gate
        self.training_factor, self.evaluation_factor = training_factor, evaluation_factor

    def forward(
        self, inputs: torch.Tensor, kept: torch.Tensor | None = None, training: bool = False
    ) -> torch.Tensor:
        """Scale a branch (N, …), and drop the examples whose mask is false."""
        if not training:
            return inputs * self.evaluation_factor
        if kept is None:
            return inputs * self.training_factor
        return inputs * (kept.to(inputs.dtype) * self.training_factor)


class Highway(nn.Module):
    """Highway gate, h * t + x * (1 - t), of maps (N, C, H, W) of one shape (arXiv 1505.00387)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(
        self, inputs: torch.Tensor, transformed: torch.Tensor, gate: torch.Tensor
    ) -> torch.Tensor:
        """Mix `transformed` and `inputs`, (N, C, H, W) each, by a gate of that shape."""
        return transformed * gate + inputs * (1 - gate)


KINDS: dict[str, type[nn.Module]] = {
    "highway": Highway,
    "scaled_add": ScaledAdd,
    "stochastic_depth": StochasticDepth,
}
