"""Layers that join several maps in Keras; maps are (N, H, W, C)."""

import tensorflow as tf

from .declared import Declared


class Add(Declared):
    """Sum of several maps (N, H, W, C) of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Add maps (N, H, W, C) from left to right."""
        # From left to right in both trees: sums in another order round differently.
        total = inputs[0]
        for addend in inputs[1:]:
            total = total + addend
        return total


class Concatenate(Declared):
    """Concatenation of maps (N, H, W, C) along their channels."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Join maps (N, H, W, C), whose C may differ, in the order given."""
        return tf.concat(inputs, axis=-1)


class Multiply(Declared):
    """Maps (N, H, W, C) times factors (N, 1, 1, C)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
        """Multiply each channel of (N, H, W, C) by its factor, (N, 1, 1, C)."""
        return inputs * factors
