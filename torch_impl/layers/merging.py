"""Layers that join several maps in PyTorch; maps are (N, C, H, W)."""

import torch

from .declared import Declared


class Add(Declared):
    """Sum of several maps (N, C, H, W) of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Add maps (N, C, H, W) from left to right."""
        # From left to right in both trees: sums in another order round differently.
        total = inputs[0]
        for addend in inputs[1:]:
            total = total + addend
        return total


class Concatenate(Declared):
    """Concatenation of maps (N, C, H, W) along their channels."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Join maps (N, C, H, W), whose C may differ, in the order given."""
        # Tokens (N, T, C) have their channels last.
        return torch.cat(inputs, dim=2 if inputs[0].ndim == 3 else 1)


class Multiply(Declared):
    """Maps (N, C, H, W) times factors (N, C, 1, 1)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, inputs: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """Multiply each channel of (N, C, H, W) by its factor, (N, C, 1, 1)."""
        return inputs * factors


KINDS: dict[str, type[Declared]] = {
    "add": Add,
    "concatenate": Concatenate,
    "multiply": Multiply,
}
