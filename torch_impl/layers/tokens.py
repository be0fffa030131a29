"""Layers of tokens (N, T, C) in PyTorch: maps as tokens, learned ones, tokens as vectors."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from .declared import Declared


class ToTokens(Declared):
    """Maps as tokens, row by row: (N, C, H, W) -> (N, H * W, C)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Turn maps (N, C, H, W) into tokens (N, H * W, C)."""
        return inputs.flatten(2).transpose(1, 2)


class ToMap(Declared):
    """Tokens after the first `skipped` ones as maps: (N, T, C) -> (N, C, H, W)."""

    def __init__(
        self, height: int, width: int, *, skipped: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.height, self.width, self.skipped = height, width, skipped

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Turn tokens (N, T, C) into maps (N, C, H, W)."""
        tokens = inputs[:, self.skipped :].transpose(1, 2)
        return tokens.unflatten(2, (self.height, self.width))


class _Learned(Declared):
    def __init__(self, channels: int, count: int, dtype: str) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(count, channels, dtype=getattr(torch, dtype)))


class LearnedTokens(_Learned):
    """Learned tokens after the first `place` ones: (N, T, C) -> (N, T + count, C)."""

    def __init__(
        self, channels: int, *, count: int = 1, place: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__(channels, count, dtype)
        self.place = place

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Put the learned tokens (count, C) between those of (N, T, C)."""
        learned = self.embedding.to(inputs.dtype).expand(inputs.shape[0], -1, -1)
        parts = inputs[:, : self.place], learned, inputs[:, self.place :]
        return torch.cat(parts[0 if self.place else 1 :], dim=1)


class PositionEmbedding(_Learned):
    """A learned vector for each position, added to tokens (N, T, C)."""

    def __init__(self, channels: int, *, count: int, dtype: str = "float32") -> None:
        super().__init__(channels, count, dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Add the embedding (T, C) to tokens (N, T, C)."""
        return inputs + self.embedding.to(inputs.dtype)


class TakeToken(Declared):
    """One token as a vector: (N, T, C) -> (N, C)."""

    def __init__(self, *, place: int = 0, dtype: str = "float32") -> None:
        super().__init__()
        self.place = place

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Take the token at `place` of (N, T, C)."""
        return inputs[:, self.place]


class MeanTokens(Declared):
    """Mean over the tokens after the first `skipped` ones: (N, T, C) -> (N, C)."""

    def __init__(self, *, skipped: int = 0, dtype: str = "float32") -> None:
        super().__init__()
        self.skipped = skipped

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Average the tokens of (N, T, C) without the first ones."""
        return inputs[:, self.skipped :].mean(dim=1)


def _rename_tables(model: nn.Module) -> None:
    """Give learned tables their layer's own name and a batch axis (1, T, C) in a state_dict.

    So torchvision and timm have them, whose models hold them without a layer.
    """
    names = [name for name, layer in model.named_modules() if isinstance(layer, _Learned)]
    if names:
        model.register_state_dict_post_hook(partial(_take_out, names))
        model.register_load_state_dict_pre_hook(partial(_put_back, names))


def _take_out(
    names: Sequence[str], module: nn.Module, state: Any, prefix: str, metadata: Any
) -> None:
    for name in names:
        state[f"{prefix}{name}"] = state.pop(f"{prefix}{name}.embedding")[None]


def _put_back(
    names: Sequence[str], module: nn.Module, state: Any, prefix: str, *others: Any
) -> None:
    for name in names:
        if f"{prefix}{name}" in state:
            value = state.pop(f"{prefix}{name}")
            state[f"{prefix}{name}.embedding"] = value.flatten(0, -2)


KINDS: dict[str, type[Declared]] = {
    "to_tokens": ToTokens,
    "to_map": ToMap,
    "learned_tokens": LearnedTokens,
    "position_embedding": PositionEmbedding,
    "take_token": TakeToken,
    "mean_tokens": MeanTokens,
}
