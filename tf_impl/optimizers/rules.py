"""Keras optimisers with PyTorch's published formulas.

Keras' own differ: its momentum buffer contains the learning rate, its Adam puts epsilon elsewhere
and its weight decay is decoupled (docs/fairness.md).

`weight_decays` has one coupled L2 coefficient per variable: gradient += coefficient * variable,
which is a term of the loss under every rule. `rate_factors` has one factor of the learning rate per
variable; None means 1.
"""

from collections.abc import Callable, Hashable, Sequence

import keras
import tensorflow as tf

from poc.shared.spec.training.optimizers import OptimizerSpec


class _Scalars:
    """Scalars () of one update, each made once for all variables, so that its graph is small."""

    def __init__(self) -> None:
        self._made: dict[Hashable, tf.Tensor] = {}

    def find(self, key: Hashable, make: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Return the scalar () of a key, which `make` computes at the first call."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


class _PublishedRule(keras.optimizers.Optimizer):
    """An optimiser with a rate in float64, and scalars that its variables share.

    Keras keeps its own rate in float32, which is too coarse for float64 parity.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], *, rate_factors: Sequence[float] | None
    ) -> None:
        super().__init__(learning_rate=0.0)
        self.rate = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.rate_factors = rate_factors or [1.0] * len(variables)
        self.scalars = _Scalars()

    def apply(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        """Update variables with gradients of their shapes (…), and count the update."""
        # Keras' own loop asks a distribution strategy for each variable. There is none: a rank's
        # gradients have been added to the others' before.
        self.scalars = _Scalars()
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable.value, self.rate)
        self.iterations.assign_add(1)
        # Tensors of a graph are of no use outside of it.
        self.scalars = _Scalars()

    def find_rate(self, index: int, dtype: tf.DType) -> tf.Tensor:
        """Return the rate () of a variable."""
        factor = self.rate_factors[index]
        return self.scalars.find(
            ("rate", factor, dtype), lambda: tf.cast(self.rate * factor, dtype)
        )

    def find_constant(self, value: float, dtype: tf.DType) -> tf.Tensor:
        """Return a number as ()."""
        return self.scalars.find(("constant", value, dtype), lambda: tf.constant(value, dtype))


class SGD(_PublishedRule):
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
        super().__init__(variables, rate_factors=rate_factors)
        self.weight_decays, self.momentum, self.nesterov = weight_decays, momentum, nesterov
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
        rate = self.find_rate(index, variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        if self.momentum:
            buffer = self.slots["momentum"][index].value
            velocity = buffer * self.momentum + gradient
            # Without the rate, so that a lower rate slows the momentum down at once, as in PyTorch.
            buffer.assign(velocity)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        variable.assign_sub(rate * gradient)


class Adam(_PublishedRule):
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
        super().__init__(variables, rate_factors=rate_factors)
        self.weight_decays = weight_decays
        self.decoupled_decays = decoupled_decays or [0.0] * len(variables)
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
        rate = self.find_rate(index, variable.dtype)
        gradient = _decayed(gradient, variable, self.weight_decays[index])
        if decoupled := self.decoupled_decays[index]:
            variable.assign(variable * (1 - rate * decoupled))
        # Not the Keras variables, whose operators take more of the trace.
        first_slot = self.slots["exp_avg"][index].value
        second_slot = self.slots["exp_avg_sq"][index].value
        dtype, number = variable.dtype, self.find_constant
        first = first_slot * number(self.beta1, dtype) + gradient * number(1 - self.beta1, dtype)
        square = tf.square(gradient) * number(1 - self.beta2, dtype)
        second = second_slot * number(self.beta2, dtype) + square
        first_slot.assign(first)
        second_slot.assign(second)
        root = tf.sqrt(second / self._correction(self.beta2, dtype))
        mean = first / self._correction(self.beta1, dtype)
        variable.assign_sub(rate * mean / (root + number(self.epsilon, dtype)))

    def _correction(self, beta: float, dtype: tf.DType) -> tf.Tensor:
        """Return 1 - beta^t (), by which the mean of step t is too small."""

        def make() -> tf.Tensor:
            # In float64: 1 - 0.999^t of the first steps would lose its digits in float32.
            step = tf.cast(self.iterations + 1, tf.float64)
            return tf.cast(1 - tf.constant(beta, tf.float64) ** step, dtype)

        return self.scalars.find(("correction", beta, dtype), make)


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
