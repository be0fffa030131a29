"""Self-attention over tokens (N, T, C) in PyTorch, by its fused operation."""

from typing import Any

import torch
from torch.nn import functional as F

from .basic import Dense
from .declared import Declared

# Names of `nn.MultiheadAttention`, which holds the kernels of query, key and value as one.
_PARTS = ("query", "key", "value")


class SelfAttention(Declared):
    """Self-attention without a mask: (N, T, C) -> (N, T, C).

    In a state_dict it has the names of `nn.MultiheadAttention`. `lora` is the rank and the factor
    of the trained low-rank terms of the kernels of the parts `adapted`.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        lora: tuple[int, float] | None = None,
        adapted: tuple[str, ...] = (),
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        terms = dict.fromkeys(adapted, lora)
        self.query = Dense(channels, channels, lora=terms.get("query"), dtype=dtype)
        self.key = Dense(channels, channels, lora=terms.get("key"), dtype=dtype)
        self.value = Dense(channels, channels, lora=terms.get("value"), dtype=dtype)
        self.projection = Dense(channels, channels, lora=terms.get("projection"), dtype=dtype)
        self.heads = heads
        self.register_state_dict_post_hook(_pack)
        self.register_load_state_dict_pre_hook(_unpack)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Mix the tokens of (N, T, C) by the likeness of queries and keys, then project."""
        query, key, value = (
            layer(inputs).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.projection(mixed.transpose(1, 2).flatten(2))


def _pack(module: Any, state: Any, prefix: str, metadata: Any) -> None:
    """Replace the entries of query, key and value by those of one packed projection."""
    for kind in ("weight", "bias"):
        parts = [state.pop(f"{prefix}{part}.{kind}") for part in _PARTS]
        state[f"{prefix}in_proj_{kind}"] = torch.cat(parts)
        state[f"{prefix}out_proj.{kind}"] = state.pop(f"{prefix}projection.{kind}")


def _unpack(module: Any, state: Any, prefix: str, *others: Any) -> None:
    """Replace the entries of a packed projection by those of this module."""
    for kind in ("weight", "bias"):
        if f"{prefix}in_proj_{kind}" in state:
            parts = state.pop(f"{prefix}in_proj_{kind}").chunk(len(_PARTS))
            state |= {f"{prefix}{part}.{kind}": v for part, v in zip(_PARTS, parts, strict=True)}
        if f"{prefix}out_proj.{kind}" in state:
            state[f"{prefix}projection.{kind}"] = state.pop(f"{prefix}out_proj.{kind}")


KINDS: dict[str, type[Declared]] = {
    "self_attention": SelfAttention,
}
