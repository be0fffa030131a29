"""Keras' own optimisers, for runs with `habits.optimizer=native`.

Their formulas are Keras'. As under the common rules, each variable has a coupled L2 coefficient and
a factor of the learning rate, and the rate of a step comes from `shared`.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from poc.shared.spec.training.optimizers import OptimizerSpec

from .rules import _decayed, _split_decays


class _SGD(keras.optimizers.SGD):
    """Keras' SGD: m = momentum * m - rate * g, p += m; the rate is inside the momentum."""

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        spec: OptimizerSpec,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float],
    ) -> None:
        # Keras would make a name of the class's, which no graph takes for its underscore.
        super().__init__(
            learning_rate=0.0, momentum=spec.momentum, nesterov=spec.nesterov, name="sgd"
        )
        self.rate = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.weight_decays, self.rate_factors = weight_decays, rate_factors
        self.build(variables)
        self.slots = {"momentum": self.momentums} if spec.momentum else {}

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one variable with a gradient of its shape (…)."""
        index = self._get_variable_index(variable)
        rate = tf.cast(self.rate * self.rate_factors[index], variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        super().update_step(gradient, variable, rate)


class _Adam(keras.optimizers.Adam):
    """Keras' Adam and AdamW: epsilon is added to the root before the bias correction."""

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        spec: OptimizerSpec,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float],
        decoupled_decays: Sequence[float],
    ) -> None:
        super().__init__(
            learning_rate=0.0,
            beta_1=spec.beta1,
            beta_2=spec.beta2,
            epsilon=spec.epsilon,
            name="adam",
        )
        self.rate = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.weight_decays, self.rate_factors = weight_decays, rate_factors
        self.decoupled_decays = decoupled_decays
        self.build(variables)
        self.slots = {"exp_avg": self._momentums, "exp_avg_sq": self._velocities}

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one variable with a gradient of its shape (…)."""
        index = self._get_variable_index(variable)
        rate = tf.cast(self.rate * self.rate_factors[index], variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        if decoupled := self.decoupled_decays[index]:
            variable.assign(variable - variable * decoupled * rate)
        super().update_step(gradient, variable, rate)


def build_native_optimizer(
    spec: OptimizerSpec,
    variables: Sequence[keras.Variable],
    weight_decays: Sequence[float],
    rate_factors: Sequence[float] | None = None,
    is_decayed: Sequence[bool] | None = None,
) -> keras.optimizers.Optimizer:
    """Build the framework's own optimiser; arguments as of `build_optimizer`, variables (…)."""
    coupled, own = _split_decays(spec, weight_decays, is_decayed)
    factors = rate_factors or [1.0] * len(variables)
    if spec.name == "sgd":
        return _SGD(variables, spec, coupled, factors)
    return _Adam(variables, spec, coupled, factors, own)
