"""Layers in PyTorch: one class for each kind that `poc.shared.spec.networks.layers` declares."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from . import (
    attention,
    basic,
    convolution,
    layer_norm,
    light,
    merging,
    neighbours,
    pooling,
    residual,
    tokens,
)

# Kind of a declaration -> the class that is made with its arguments; each module names its own.
LAYERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        **attention.KINDS,
        **basic.KINDS,
        **convolution.KINDS,
        **layer_norm.KINDS,
        **light.KINDS,
        **merging.KINDS,
        **neighbours.KINDS,
        **pooling.KINDS,
        **residual.KINDS,
        **tokens.KINDS,
    }
)
