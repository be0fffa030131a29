"""Layers in Keras: one class for each kind that `poc.shared.spec.networks.layers` declares."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

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
LAYERS: Mapping[str, Callable[..., keras.layers.Layer]] = MappingProxyType(
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

for layer_class in LAYERS.values():
    # Under these names `keras.models.load_model` finds the classes of a `.keras` file.
    keras.saving.register_keras_serializable(package="poc")(layer_class)
