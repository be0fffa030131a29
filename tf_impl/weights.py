"""Canonical weights in and out of a Keras model: names and layouts are already Keras' own."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from poc.shared.spec.networks.initializers import Weights

from .models import Model

_PARTS = ("reduce", "expand", "depthwise", "pointwise")
_NAMES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


def named_variables(model: Model) -> dict[str, keras.Variable]:
    """Canonical name -> variable, in the order of the network's parameter table."""
    return {
        name: variable
        for node, layer in model.node_layers.items()
        for name, variable in _walk(layer, node)
    }


def trainable_names(model: Model) -> list[str]:
    """Canonical names of the variables that gradients reach."""
    return [name for name, variable in named_variables(model).items() if variable.trainable]


def learning_names(model: Model) -> list[str]:
    """Trainable names less the biases that a batch norm cancels, whose gradient is exactly zero.

    Computed, it would be rounding noise, which Adam follows at full rate (docs/decisions/0003).
    """
    cancelled = model.network.cancelled_biases
    return [name for name in trainable_names(model) if name not in cancelled]


def load_weights(model: Model, weights: Mapping[str, NDArray[Any]]) -> None:
    """Copy canonical arrays into the model; names and shapes were checked by the shared layer."""
    for name, variable in named_variables(model).items():
        variable.assign(weights[name].astype(variable.dtype))


def read_weights(model: Model, names: Collection[str] | None = None) -> Weights:
    """Canonical arrays of every parameter and running statistic, or of these `names` alone."""
    return {
        name: np.asarray(variable)
        for name, variable in named_variables(model).items()
        if names is None or name in names
    }


def canonical_shape(model: Model, name: str) -> tuple[int, ...]:
    """Shape of the variable `name` in canonical layout, read without its values."""
    return tuple(named_variables(model)[name].shape)


def to_canonical(model: Model, name: str, value: Any) -> NDArray[Any]:
    """A value shaped like the variable `name` (a gradient, a slot) in canonical layout."""
    return np.asarray(value)


def from_canonical(model: Model, name: str, value: NDArray[Any]) -> NDArray[Any]:
    """The reverse of `to_canonical`."""
    return value


def _walk(layer: keras.layers.Layer, prefix: str) -> Iterator[tuple[str, keras.Variable]]:
    for name in _NAMES:
        if isinstance(variable := getattr(layer, name, None), keras.Variable):
            yield f"{prefix}/{name}", variable
    for part in _PARTS:
        if isinstance(sublayer := getattr(layer, part, None), keras.layers.Layer):
            yield from _walk(sublayer, f"{prefix}/{part}")
