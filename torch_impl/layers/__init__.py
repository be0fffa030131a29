"""Layers in PyTorch: one class for each kind that `poc.shared.spec.networks.layers` declares."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from . import basic, convolution, light, merging, neighbours, pooling, residual

# Kind of a declaration -> the class that is made with its arguments; each module names its own.
LAYERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        **basic.KINDS,
        **convolution.KINDS,
        **light.KINDS,
        **merging.KINDS,
        **neighbours.KINDS,
        **pooling.KINDS,
        **residual.KINDS,
    }
)
