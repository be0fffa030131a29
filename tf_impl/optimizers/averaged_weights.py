"""The exponential moving average of a model's weights and running statistics, in TensorFlow."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.spec.networks.initializers import Weights
from poc.tf_impl.models import Model
from poc.tf_impl.weights import named_variables


class AveragedWeights:
    """Averages of the weights of a model, which start from these weights.

    Args:
        model: The model, with its initial weights.
        moving: Names of all variables that training may change; the others are their own average.
    """

    # `use_ema` of Keras' optimisers leaves running statistics out.

    def __init__(self, model: Model, moving: Collection[str]) -> None:
        self.model = model
        variables = named_variables(model)
        self.names = [name for name in variables if name in moving]
        self.variables = [variables[name] for name in self.names]
        values = [tf.convert_to_tensor(variable) for variable in self.variables]
        self.averages = [tf.Variable(value, trainable=False) for value in values]

    def move(self, share: tf.Tensor | float) -> None:
        """Take a share () of the present weights into the average."""
        # Cast once: all weights and statistics are stored in one type.
        taken = tf.cast(share, self.averages[0].dtype)
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign_add(taken * (tf.convert_to_tensor(variable) - average))

    def weights(self) -> Weights:
        """Return the averages as canonical `Weights`."""
        averages = zip(self.names, self.averages, strict=True)
        return {name: np.asarray(average) for name, average in averages}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the averages (…) by `average/NAME`, in canonical layout."""
        return {AVERAGE_PREFIX + name: value for name, value in self.weights().items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the averages (…) that `state` returned."""
        for name, average in zip(self.names, self.averages, strict=True):
            average.assign(state[AVERAGE_PREFIX + name])
