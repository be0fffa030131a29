"""Self-attention over tokens (N, T, C) in Keras, by its own operation."""

import keras
import numpy as np
import tensorflow as tf

from .basic import Dense
from .declared import Declared, _naming


class SelfAttention(Declared):
    """Self-attention without a mask: (N, T, C) -> (N, T, C).

    `lora` is the rank and the factor of the trained low-rank terms of the kernels of the parts
    `adapted`.
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
        super().__init__(dtype=dtype)
        terms = dict.fromkeys(adapted, lora)
        with _naming("query", self):
            self.query = Dense(channels, channels, lora=terms.get("query"), dtype=dtype)
        with _naming("key", self):
            self.key = Dense(channels, channels, lora=terms.get("key"), dtype=dtype)
        with _naming("value", self):
            self.value = Dense(channels, channels, lora=terms.get("value"), dtype=dtype)
        with _naming("projection", self):
            self.projection = Dense(channels, channels, lora=terms.get("projection"), dtype=dtype)
        self.heads = heads
        # Of NumPy: Keras would round a number of Python to float32.
        self.scale = np.float64((channels // heads) ** -0.5)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Mix the tokens of (N, T, C) by the likeness of queries and keys, then project."""
        tokens, channels = inputs.shape[1:]
        shape = (-1, tokens, self.heads, channels // self.heads)
        query, key, value = (
            tf.reshape(layer(inputs), shape) for layer in (self.query, self.key, self.value)
        )
        mixed = keras.ops.dot_product_attention(query, key, value, scale=self.scale)
        return self.projection(tf.reshape(mixed, (-1, tokens, channels)))


KINDS: dict[str, type[Declared]] = {
    "self_attention": SelfAttention,
}
