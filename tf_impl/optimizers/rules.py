"""Keras optimisers with PyTorch's published formulas.

Keras' own differ: its momentum buffer contains the learning rate, its Adam puts epsilon elsewhere
and its weight decay is decoupled (docs/fairness.md).

`weight_decays` has one coupled L2 coefficient per variable: gradient += coefficient * variable,
which is a term of the loss under every rule. `rate_factors` has one factor of the learning rate per
variable; None means 1.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from poc.shared.spec.training.optimizers import OptimizerSpec


class SGD(keras.optimizers.Optimizer):
    """Stochastic gradient descent: v = momentum * v + g, p -= rate * v.

    With Nesterov, p -= rate * (g + momentum * v). Variables p, (…), are of any shape.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        *,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float] | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(learning_rate=0.0)
        # Keras keeps its own rate in float32, which is too coarse for float64 parity.
        self.rate = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.weight_decays, self.momentum, self.nesterov = weight_decays, momentum, nesterov
        self.rate_factors = rate_factors or [1.0] * len(variables)
        self.build(variables)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the momentum slots, each with the shape (…) of its variable."""
        super().build(variables)
        self.slots = {}
        if self.momentum:
            self.slots["momentum"] = [
                self.add_variable_from_reference(variable, "momentum") for variable in variables
            ]

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one variable with a gradient of its shape (…)."""
        index = self._get_variable_index(variable)
        rate = tf.cast(self.rate * self.rate_factors[index], variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        if self.momentum:
            buffer = self.slots["momentum"][index]
            velocity = buffer * self.momentum + gradient
            # Without the rate, so that a lower rate slows the momentum down at once, as in PyTorch.
            buffer.assign(velocity)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        variable.assign_sub(rate * gradient)


class Adam(keras.optimizers.Optimizer):
    """Adam with bias correction; epsilon is added outside the root, after the correction.

    `decoupled_decays`, one per variable (…), shrink it by rate * decay, apart from the gradient:
    AdamW. None means none.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        *,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float] | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        decoupled_decays: Sequence[float] | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0)
        # Keras keeps its own rate in float32, which is too coarse for float64 parity.
        self.rate = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.weight_decays = weight_decays
        self.decoupled_decays = decoupled_decays or [0.0] * len(variables)
        self.rate_factors = rate_factors or [1.0] * len(variables)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.build(variables)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create both moments, each with the shape (…) of its variable."""
        super().build(variables)
        self.slots = {
            name: [self.add_variable_from_reference(variable, name) for variable in variables]
            for name in ("exp_avg", "exp_avg_sq")
        }

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Update one variable with a gradient of its shape (…)."""
        index = self._get_variable_index(variable)
        rate = tf.cast(self.rate * self.rate_factors[index], variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        if decoupled := self.decoupled_decays[index]:
            variable.assign(variable * (1 - rate * decoupled))
        first, second = (self.slots[name][index] for name in ("exp_avg", "exp_avg_sq"))
        first.assign(first * self.beta1 + gradient * (1 - self.beta1))
        second.assign(second * self.beta2 + tf.square(gradient) * (1 - self.beta2))
        # In float64: 1 - 0.999^t of the first steps would lose its digits in float32.
        step = tf.cast(self.iterations + 1, tf.float64)
        correction1 = tf.cast(1 - tf.constant(self.beta1, tf.float64) ** step, variable.dtype)
        correction2 = tf.cast(1 - tf.constant(self.beta2, tf.float64) ** step, variable.dtype)
        root = tf.sqrt(second / correction2) + self.epsilon
        variable.assign_sub(rate * (first / correction1) / root)


def build_optimizer(
    spec: OptimizerSpec,
    variables: Sequence[keras.Variable],
    weight_decays: Sequence[float],
    rate_factors: Sequence[float] | None = None,
    is_decayed: Sequence[bool] | None = None,
) -> keras.optimizers.Optimizer:
    """Build the optimiser of a run.

    Args:
        spec: The rule and its numbers, with the run's own weight decay.
        variables: Those that it moves, of any shape (…).
        weight_decays: Coefficients that the layers ask for, one per variable. The run's own is
            added, except for AdamW, which keeps it out of the gradient.
        rate_factors: Factors of the learning rate, one per variable; None means 1.
        is_decayed: True if the run's own decay reaches a variable, one per variable; None: all.
    """
    decays, own = _split_decays(spec, weight_decays, is_decayed)
    if spec.name == "sgd":
        return SGD(
            variables,
            weight_decays=decays,
            rate_factors=rate_factors,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
        )
    return Adam(
        variables,
        weight_decays=decays,
        rate_factors=rate_factors,
        beta1=spec.beta1,
        beta2=spec.beta2,
        epsilon=spec.epsilon,
        decoupled_decays=own,
    )


def set_learning_rate(
    optimizer: keras.optimizers.Optimizer, learning_rate: tf.Tensor | float
) -> None:
    """Set the learning rate, a scalar (), of the next update."""
    optimizer.rate.assign(learning_rate)


def _split_decays(
    spec: OptimizerSpec, weight_decays: Sequence[float], is_decayed: Sequence[bool] | None
) -> tuple[list[float], list[float]]:
    """Return the coupled decay of each variable, and the decoupled one, which AdamW alone has."""
    reached = is_decayed or [True] * len(weight_decays)
    own = [spec.weight_decay if is_reached else 0.0 for is_reached in reached]
    # A layer's own decay is part of its definition (a term of the loss), also under AdamW.
    if spec.name == "adamw":
        return list(weight_decays), own
    return [layer + run for layer, run in zip(weight_decays, own, strict=True)], [0.0] * len(own)


def _decayed(gradient: tf.Tensor, variable: keras.Variable, decay: float) -> tf.Tensor:
    return gradient + decay * variable if decay else gradient
