"""LoRA in Keras (arXiv 2106.09685): the trained low-rank term of a frozen kernel."""

from collections.abc import Iterator

import keras
import tensorflow as tf

from .declared import Declared


class LowRank(Declared):
    """The term scale * B(A(x)) of two layers without biases: (N, …) -> (N, …)."""

    def __init__(
        self,
        a: keras.layers.Layer,
        b: keras.layers.Layer,
        *,
        scale: float,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.a, self.b, self.scale = a, b, scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Apply A, whose outputs are narrow, then the factor, then B."""
        return self.b(self.a(inputs) * self.scale)


def train_low_rank(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Freeze a layer that has terms, except the terms; return it."""
    terms = list(_find_terms(layer))
    if terms:
        layer.trainable = False
    for term in terms:
        term.trainable = True
    return layer


def _find_terms(layer: keras.layers.Layer) -> Iterator[LowRank]:
    """Yield the terms of a layer and of its parts."""
    for value in vars(layer).values():
        if isinstance(value, LowRank):
            yield value
        elif isinstance(value, keras.layers.Layer):
            yield from _find_terms(value)
