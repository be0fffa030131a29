"""Layers of residual networks in Keras: scaled sums, gates, and branches that are dropped."""

import keras
import tensorflow as tf

from .basic import _draw_mask
from .declared import Declared


class ScaledAdd(Declared):
    """Sum with a scaled branch, x + scale * f, of maps (N, H, W, C) of one shape."""

    def __init__(self, scale: float, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.scale = scale

    def call(self, inputs: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
        """Add the scaled branch `residual` to `inputs`, (N, H, W, C) each."""
        return inputs + residual * self.scale


class StochasticDepth(Declared):
    """A branch that training may drop; masks (N, 1, …) bool are true where it is kept.

    A gate decides for the full batch: its masks are (1,).
    """

    def __init__(
        self,
        *,
        rate: float,
        is_gate: bool,
        training_factor: float,
        evaluation_factor: float,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.rate, self.is_gate = rate, is_gate
        self.training_factor, self.evaluation_factor = training_factor, evaluation_factor
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, inputs: tf.Tensor, kept: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """Scale a branch (N, …); training drops examples by a mask, given or drawn."""
        if not training:
            return inputs * self.evaluation_factor
        if kept is None and self.rate > 0:
            row = [tf.shape(inputs)[0], *[1] * (inputs.shape.rank - 1)]
            kept = _draw_mask(self, [1] if self.is_gate else row)
        if kept is None:
            return inputs * self.training_factor
        return inputs * (tf.cast(kept, inputs.dtype) * self.training_factor)


class Highway(Declared):
    """Highway gate, h * t + x * (1 - t), of maps (N, H, W, C) of one shape (arXiv 1505.00387)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor, transformed: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
        """Mix `transformed` and `inputs`, (N, H, W, C) each, by a gate of that shape."""
        return transformed * gate + inputs * (1 - gate)
