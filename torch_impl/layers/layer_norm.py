"""Layer norm and LayerScale in PyTorch: over the channels, at each position by itself.

Maps are (N, C, H, W), tokens (N, T, C) and vectors (N, C).
"""

import torch
from torch import nn
from torch.nn import functional as F

from .declared import Declared


class LayerNorm(Declared):
    """Layer normalisation of the channels of maps, tokens or vectors."""

    def __init__(self, channels: int, *, epsilon: float, dtype: str = "float32") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, dtype=getattr(torch, dtype)))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=getattr(torch, dtype)))
        self.epsilon = epsilon

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, H, W), (N, T, C) or (N, C) over C, scale and shift."""
        # A view for maps whose channels are last in memory, as the engine's are.
        values = inputs.permute(0, 2, 3, 1) if inputs.ndim == 4 else inputs
        outputs = F.layer_norm(values, self.weight.shape, self.weight, self.bias, self.epsilon)
        # Under autocast PyTorch returns float32.
        outputs = outputs.to(inputs.dtype)
        return outputs.permute(0, 3, 1, 2) if inputs.ndim == 4 else outputs


class LayerScale(Declared):
    """One learned factor per channel of maps, tokens or vectors."""

    def __init__(self, channels: int, *, dtype: str = "float32") -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, dtype=getattr(torch, dtype)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply the channels of (N, C, H, W), (N, T, C) or (N, C) by gamma (C,)."""
        gamma = self.gamma.view(-1, 1, 1) if inputs.ndim == 4 else self.gamma
        return (inputs * gamma).to(inputs.dtype)


KINDS: dict[str, type[Declared]] = {
    "layer_norm": LayerNorm,
    "layer_scale": LayerScale,
}
