"""Layers that join several maps in Keras; maps are (N, H, W, C)."""

import keras
import tensorflow as tf


class Add(keras.layers.Layer):
    """Sum of maps of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Add."""
        total = inputs[0]
        for addend in inputs[1:]:
            total = total + addend
        return total


class Concatenate(keras.layers.Layer):
    """Channels one after the other."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Concatenate."""
        return tf.concat(inputs, axis=-1)


class Multiply(keras.layers.Layer):
    """Maps (N, H, W, C) times factors (N, 1, 1, C)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        """Multiply."""
        return inputs * factors
