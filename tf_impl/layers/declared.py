"""The base of every layer in Keras: the options that it was declared with, its name, its config."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Self

import keras

# The name of the layer that is made next. A layer's class takes its declared options alone, in both
# trees. Keras takes a variable's path from the name that its layer has when it is created.
_NEXT_NAME: ContextVar[str | None] = ContextVar("next_name", default=None)
_INITIALIZERS = {
    "kernel": keras.initializers.GlorotUniform,
    "embedding": lambda: keras.initializers.RandomNormal(stddev=0.02),
    "gamma": keras.initializers.Ones,
    "moving_variance": keras.initializers.Ones,
}
_KERAS_OPTIONS = ("name", "trainable", "dtype")


class _Named(keras.layers.Layer):
    def __init__(self, *, dtype: str = "float32") -> None:
        name = _NEXT_NAME.get()
        _NEXT_NAME.set(None)
        super().__init__(name=name, dtype=dtype)


class Declared(_Named):
    """A layer that Keras can save, load and clone: its config has the declared options.

    Its variables are zeros, which the engine overwrites. A layer that comes from a config has
    Keras' own initial values instead, so that a clone can learn.
    """

    options: Mapping[str, object] = MappingProxyType({})

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable flag, type and options, from which `from_config` makes a twin."""
        keras_options = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
        }
        return {**keras_options, **self.options}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a layer with the options, the name and the trainable flag of a config."""
        options = {
            name: _plain(value) for name, value in config.items() if name not in _KERAS_OPTIONS
        }
        with _naming(config.get("name")):
            layer = cls(**options, dtype=config.get("dtype", "float32"))
        layer.options = MappingProxyType(options)
        layer.trainable = config.get("trainable", True)
        _draw_variables(layer)
        return layer

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Do nothing: all variables exist since the layer was made."""


@contextmanager
def _naming(name: str | None, parent: keras.layers.Layer | None = None) -> Iterator[None]:
    """Give the next layer a name; the paths of its variables begin with its parent's name."""
    token = _NEXT_NAME.set(name)
    try:
        if parent is None:
            yield
        else:
            with keras.name_scope(parent.name):
                yield
    finally:
        _NEXT_NAME.reset(token)


def _plain(value: Any) -> Any:
    """Return a value with tuples for its lists, which JSON has instead, and names for functions."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    # Keras' reader of `.h5` files puts functions in place of texts that name one, as `average`.
    return value.__name__ if callable(value) else value


def _draw_variables(layer: keras.layers.Layer) -> None:
    """Give kernels, gammas and moving variances the initial values of Keras' own layers."""
    for variable in layer.weights:
        if (make_initializer := _INITIALIZERS.get(variable.name)) is not None:
            # A new one per variable: an initializer gives the same values whenever it is called.
            variable.assign(make_initializer()(variable.shape, variable.dtype))
