"""Gradients of several batches, added up until they make one update, in TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.engine.step_numbers import GRADIENT_PREFIX
from poc.tf_impl.models import Model


class GroupGradients:
    """The sum of the gradients since the last update: one more variable for each.

    Args:
        model: The model that is trained.
        names: Names of its trained variables.
        variables: These variables, in the same order.
    """

    def __init__(
        self, model: Model, names: Sequence[str], variables: Sequence[keras.Variable]
    ) -> None:
        self.model, self.names, self.variables = model, names, variables
        zeros = [tf.zeros_like(variable) for variable in variables]
        self.totals = [tf.Variable(value, trainable=False) for value in zeros]

    def add(self, gradients: Sequence[tf.Tensor]) -> None:
        """Add the gradients (…) of a batch."""
        for total, gradient in zip(self.totals, gradients, strict=True):
            total.assign_add(gradient)

    def total(self) -> list[tf.Tensor]:
        """Return the sums (…), one per variable."""
        return [tf.convert_to_tensor(total) for total in self.totals]

    def clear(self) -> None:
        """Start the next group."""
        for total in self.totals:
            total.assign(tf.zeros_like(total))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the sums (…) by `gradient/NAME`, in canonical layout."""
        totals = zip(self.names, self.totals, strict=True)
        return {GRADIENT_PREFIX + name: np.asarray(total) for name, total in totals}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the sums (…) that `state` returned."""
        for name, total in zip(self.names, self.totals, strict=True):
            total.assign(state[GRADIENT_PREFIX + name])
