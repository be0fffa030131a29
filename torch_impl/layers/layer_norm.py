"""Layer norm and LayerScale in PyTorch: over the channels, at each position by itself.

Maps are (N, C, H, W), tokens (N, T, C) and vectors (N, C).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from poc.shared.spec.networks.network import Network

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


def _publish_scales(model: nn.Module, network: Network, paths: Mapping[str, Sequence[str]]) -> None:
    """Let a model's state_dict hold factors (C,) of maps as (C, 1, 1) under their module's name.

    torchvision's models hold them so, without a module.
    """
    scales = [node for node in network.nodes if node.layer.kind == "layer_scale"]
    names = [".".join(paths[node.name]) for node in scales if len(node.input_shapes[0]) == 3]
    if names:
        model.register_state_dict_post_hook(partial(_give, names))
        model.register_load_state_dict_pre_hook(partial(_take, names))


def _give(names: Sequence[str], module: Any, state: Any, prefix: str, *_: Any) -> None:
    for name in names:
        state[f"{prefix}{name}"] = state.pop(f"{prefix}{name}.gamma")[:, None, None]


def _take(names: Sequence[str], module: Any, state: Any, prefix: str, *_: Any) -> None:
    for name in names:
        if (value := state.pop(f"{prefix}{name}", None)) is not None:
            state[f"{prefix}{name}.gamma"] = value.flatten()


KINDS: dict[str, type[Declared]] = {
    "layer_norm": LayerNorm,
    "layer_scale": LayerScale,
}
