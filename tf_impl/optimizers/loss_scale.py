"""Dynamic loss scaling in TensorFlow, for layers that compute in float16."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.spec.training.precision import (
    INITIAL_LOSS_SCALE,
    LOSS_SCALE_FACTOR,
    SMALLEST_LOSS_SCALE,
    STEPS_TO_GROW,
)


class LossScale:
    """A factor of the loss that keeps small gradients above float16's smallest number.

    `poc.shared.spec.training.precision` has the rule by which it grows and shrinks.

    """

    # `keras.optimizers.LossScaleOptimizer` has the same rule, but builds the slots of the optimiser
    # that it wraps a second time.

    def __init__(self, *, device: str) -> None:
        with tf.device(device):
            self.value = tf.Variable(INITIAL_LOSS_SCALE, dtype=tf.float32, trainable=False)
            self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def enlarge(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the enlarged loss (), whose gradient is taken."""
        return loss * self.value

    def reduce(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[keras.Variable],
    ) -> list[tf.Tensor]:
        """Return the gradients (…) divided by the factor."""
        return [gradient / self.value for gradient in gradients]

    def update(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Step with reduced gradients (…), if all of them are finite, and change the factor."""
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in gradients])
        # Decided on the device: the host does not wait for the gradients.
        tf.cond(is_finite, lambda: optimizer.apply(gradients, variables), lambda: None)
        good_steps = self.good_steps + 1
        is_due = tf.equal(good_steps, STEPS_TO_GROW)
        grown = tf.where(is_due, self.value * LOSS_SCALE_FACTOR, self.value)
        self.value.assign(tf.where(is_finite, grown, self.value / LOSS_SCALE_FACTOR))
        # A changed factor, up or down, starts the count again.
        self.good_steps.assign(tf.where(is_finite & ~is_due, good_steps, 0))

    def is_lost(self) -> tf.Tensor:
        """Return () bool: gradients overflow although the loss is no longer enlarged."""
        return self.value < SMALLEST_LOSS_SCALE

    def state(self) -> dict[str, NDArray[np.floating]]:
        """Return the factor () and the number of steps () since it last changed."""
        names = ("loss_scale", "good_steps")
        return dict(zip(names, map(np.asarray, (self.value, self.good_steps)), strict=True))

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Restore the scalars () that `state` returned."""
        self.value.assign(state["loss_scale"])
        self.good_steps.assign(state["good_steps"])
