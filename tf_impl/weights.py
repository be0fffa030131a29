"""Canonical weights in and out of a Keras model: their names and layouts are Keras' own."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from poc.shared.spec.networks.initializers import Weights

from .models import Model


def named_variables(model: Model) -> dict[str, keras.Variable]:
    """Return canonical name -> variable (…), in the order of the network's parameter table."""
    return {
        name: variable
        for node, layer in model.node_layers.items()
        for name, variable in _walk(layer, node)
    }


def trainable_names(model: Model) -> list[str]:
    """Return the canonical names of the variables that gradients reach."""
    return [name for name, variable in named_variables(model).items() if variable.trainable]


def learning_names(model: Model) -> list[str]:
    """Return the trainable names without the biases that a batch norm cancels."""
    # Their gradient is exactly 0. A computed one is rounding noise, which Adam would follow at the
    # full rate (docs/decisions/0003).
    cancelled = model.network.cancelled_biases
    return [name for name in trainable_names(model) if name not in cancelled]


def load_weights(model: Model, weights: Mapping[str, NDArray[Any]]) -> None:
    """Copy canonical `Weights` into the model; `shared` has checked their names and shapes."""
    for name, variable in named_variables(model).items():
        variable.assign(weights[name].astype(variable.dtype))


def read_weights(model: Model, names: Collection[str] | None = None) -> Weights:
    """Return canonical `Weights`: all parameters and running statistics, or `names` alone."""
    return {
        name: np.asarray(variable)
        for name, variable in named_variables(model).items()
        if names is None or name in names
    }


def canonical_shape(model: Model, name: str) -> tuple[int, ...]:
    """Return the shape of the variable `name` in canonical layout."""
    # Read without the values, which a model built in a graph does not have.
    return tuple(named_variables(model)[name].shape)


def to_canonical(model: Model, name: str, value: Any) -> NDArray[Any]:
    """Return a gradient or slot of the variable `name` canonically: kernels (H, W, in, out)."""
    return np.asarray(value)


def from_canonical(model: Model, name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Return a canonical array, kernels (H, W, in, out), in the layout of the variable `name`."""
    return value


def _walk(layer: keras.layers.Layer, prefix: str) -> Iterator[tuple[str, keras.Variable]]:
    """Yield a layer's own variables under the names of its attributes, then its sublayers'."""
    for name, value in vars(layer).items():
        if isinstance(value, keras.Variable):
            yield f"{prefix}/{name}", value
    for part, value in vars(layer).items():
        if isinstance(value, keras.layers.Layer):
            yield from _walk(value, f"{prefix}/{part}")
