"""Layers that join several maps in PyTorch; maps are (N, C, H, W)."""

import torch
from torch import nn


class Add(nn.Module):
    """Sum of maps of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Add."""
        total = inputs[0]
        for addend in inputs[1:]:
            total = total + addend
        return total


class Concatenate(nn.Module):
    """Channels one after the other."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Concatenate."""
        return torch.cat(inputs, dim=1)


class Multiply(nn.Module):
    """Maps (N, C, H, W) times factors (N, C, 1, 1)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, inputs: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        return inputs * factors
