"""What residual networks add, in Keras: scaled sums, gates, and branches that are dropped."""

import keras
import tensorflow as tf


class ScaledAdd(keras.layers.Layer):
    """x + scale * f for maps of one shape."""

    def __init__(self, scale: float, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.scale = scale

    def call(self, inputs: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
        """Scale and add."""
        return inputs + residual * self.scale


class StochasticDepth(keras.layers.Layer):
    """A branch that training may drop; (N, 1, …) bool masks are true where it is kept.

    Without a mask, training takes the branch as kept: its block would not have run otherwise.
    """

    def __init__(
        self, *, training_factor: float, evaluation_factor: float, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.training_factor, self.evaluation_factor = training_factor, evaluation_factor

    def call(
        self, inputs: tf.Tensor, kept: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Scale, and drop where the mask says so."""
        if not training:
            return inputs * self.evaluation_factor
        if kept is None:
            return inputs * self.training_factor
        return inputs * (tf.cast(kept, inputs.dtype) * self.training_factor)


class Highway(keras.layers.Layer):
    """h * t + x * (1 - t) for maps of one shape."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor, transformed: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
        """Mix."""
        return transformed * gate + inputs * (1 - gate)
