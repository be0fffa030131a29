"""What residual networks add, in PyTorch: scaled sums, gates, and branches that are dropped."""

import torch
from torch import nn


class ScaledAdd(nn.Module):
    """x + scale * f for maps of one shape."""

    def __init__(self, scale: float, *, dtype: str = "float32") -> None:
        super().__init__()
        self.scale = scale

    def forward(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Scale and add."""
        return inputs + residual * self.scale


class StochasticDepth(nn.Module):
    """A branch that training may drop; (N, 1, …) bool masks are true where it is kept.

    Without a mask, training takes the branch as kept: its block would not have run otherwise.
    """

    def __init__(
        self, *, training_factor: float, evaluation_factor: float, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.training_factor, self.evaluation_factor = training_factor, evaluation_factor

    def forward(
        self, inputs: torch.Tensor, kept: torch.Tensor | None = None, training: bool = False
    ) -> torch.Tensor:
        """Scale, and drop where the mask says so."""
        if not training:
            return inputs * self.evaluation_factor
        if kept is None:
            return inputs * self.training_factor
        return inputs * (kept.to(inputs.dtype) * self.training_factor)


class Highway(nn.Module):
    """h * t + x * (1 - t) for maps of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(
        self, inputs: torch.Tensor, transformed: torch.Tensor, gate: torch.Tensor
    ) -> torch.Tensor:
        """Mix."""
        return transformed * gate + inputs * (1 - gate)
