"""Reverse-mode hyper-gradients through SGD with momentum and coupled weight decay, in TensorFlow.

A step is v' = mu*v + g(p, W) + wd*p, p' = p - rate*v'. Backwards, with the adjoints a of p and b of
v, q = b - rate*a and the gradient g of the recorded step (Franceschi et al., arXiv 1703.01785):

    adjoint of W += d<g, q>/dW,   a <- a + wd*q + d<g, q>/dp,   b <- mu*q

In a step of several ranks, g is the sum of each rank's gradient. Each rank has its own examples'
rows of W, and adds up with the others what belongs to p.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from poc.tf_impl.ranks.collectives import sum_named

Tensors = dict[str, tf.Tensor]
# (theta, W) -> any object whose attribute `loss` is the mean loss of a step.
Evaluate = Callable[[Tensors, Tensors], Any]


class Descent(NamedTuple):
    """The numbers of a step: rate (), momentum and one coupled L2 coefficient per parameter."""

    learning_rate: tf.Tensor | float
    momentum: float
    weight_decays: Mapping[str, float]


class Record(NamedTuple):
    """A recorded step: its parameters, the weights of its loss and its gradient.

    `weights` is W, empty if the loss does not depend on it. `gradients` has the parameters that
    the loss reaches, with this rank's part; `total` has the sums over ranks. `graph` is the object
    with which the framework differentiates them again.
    """

    theta: Tensors
    weights: Tensors
    gradients: Tensors
    total: Tensors
    evaluate: Evaluate
    graph: Any


Derivative = Callable[[Record, Tensors, bool], tuple[Tensors, Tensors]]


def descend(
    theta: Mapping[str, tf.Tensor],
    velocity: Mapping[str, tf.Tensor],
    gradients: Mapping[str, tf.Tensor],
    descent: Descent,
) -> tuple[Tensors, Tensors]:
    """Take one step, and return the new theta and velocity, with the shapes (…) of the old.

    Momentum and decay also move parameters without a gradient.
    """
    new_theta, new_velocity = {}, {}
    for name, value in theta.items():
        change = descent.momentum * velocity[name]
        if name in gradients:
            change = change + gradients[name]
        if decay := descent.weight_decays[name]:
            change = change + decay * value
        new_velocity[name] = change
        new_theta[name] = value - tf.cast(descent.learning_rate, value.dtype) * change
    return new_theta, new_velocity


def differentiate(
    evaluate: Callable[[Tensors], Any], variables: Tensors, learning: Collection[str]
) -> tuple[Any, Tensors]:
    """Return the result of `evaluate`, and the gradient of its `loss` on learning variables.

    It is summed over ranks. Each gradient has the shape (…) of its variable. A variable that the
    loss does not reach has no gradient.
    """
    result, gradients = _differentiate(evaluate, variables, learning)
    return result, sum_named(gradients)


def record(
    evaluate: Evaluate,
    theta: Tensors,
    weights: Tensors,
    learning: Collection[str],
    *,
    keeps_graph: bool,
) -> tuple[Record, Any]:
    """Return a step's gradient, shapes (…) of theta, and the result of `evaluate`.

    `keeps_graph` makes the gradient ready to be differentiated again.
    """
    if not keeps_graph:
        result, gradients = _differentiate(lambda at: evaluate(at, weights), theta, learning)
        return Record(theta, weights, gradients, sum_named(gradients), evaluate, None), result
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([theta, weights])
        # The outer tape records the gradient itself, which `_product` differentiates.
        result, gradients = _differentiate(lambda at: evaluate(at, weights), theta, learning)
    return Record(theta, weights, gradients, sum_named(gradients), evaluate, tape), result


def pull_back(
    function: Callable[[Tensors], Tensors], variables: Tensors, adjoint: Tensors
) -> Tensors:
    """Return the gradient of <function(variables), adjoint>, shapes (…) of the variables.

    It is summed over ranks.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        outputs = function(variables)
    names = list(adjoint)
    found = tape.gradient(
        [outputs[name] for name in names],
        variables,
        output_gradients=[adjoint[name] for name in names],
    )
    return sum_named(found)


def clip(gradients: Tensors, largest: float | None) -> Tensors:
    """Scale gradients (…) down if their global norm is above `largest`."""
    if largest is None or not gradients:
        return gradients
    share = tf.minimum(largest / (norm(gradients) + 1e-6), 1.0)
    return {name: value * share for name, value in gradients.items()}


def reverse(
    records: Sequence[Record],
    outer: Mapping[str, tf.Tensor],
    descent: Descent,
    derivative: Derivative,
) -> Tensors:
    """Return the adjoint of W, with the shapes (N, C) of W, after all recorded steps.

    Args:
        records: In the order in which the steps were taken.
        outer: Gradient of the outer loss at the last theta, with theta's shapes (…).
        descent: The numbers of the steps.
        derivative: (record, q, is_first) -> d<g, q>/d(theta, W). The first record's theta part is
            not needed.
    """
    some = records[0].theta
    position = {n: outer[n] if n in outer else tf.zeros_like(some[n]) for n in some}
    momentum = {name: tf.zeros_like(value) for name, value in some.items()}
    adjoint: Tensors = {}
    for index in reversed(range(len(records))):
        q = {
            name: momentum[name] - tf.cast(descent.learning_rate, value.dtype) * value
            for name, value in position.items()
        }
        to_theta, to_weights = derivative(records[index], q, index == 0)
        to_theta = sum_named(to_theta)
        for name, value in to_weights.items():
            adjoint[name] = adjoint[name] + value if name in adjoint else value
        # W does not depend on the first theta, so its adjoint is not needed.
        if index == 0:
            break
        for name, value in q.items():
            position[name] = position[name] + descent.weight_decays[name] * value
            if name in to_theta:
                position[name] = position[name] + to_theta[name]
            momentum[name] = descent.momentum * value
    return adjoint


def exact(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """Differentiate <g, q>, shapes (…) of theta and W, through the recorded graph and use it up."""
    wanted = {} if is_first else {name: record.theta[name] for name in record.gradients}
    return _split(record, _product(record, q, {**wanted, **record.weights}))


def first_order(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """Differentiate <g, q> on W alone, shapes (N, C), without the Hessian."""
    return {}, _product(record, q, record.weights)


def finite_difference(length: float) -> Derivative:
    """Return a `Derivative` by one-sided differences of both gradients, at `length` along q."""

    def derivative(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
        share = length / norm(q)
        moved = {name: value + share * q[name] for name, value in record.theta.items()}
        there, here = (_both_gradients(record, theta) for theta in (moved, record.theta))
        return _split(record, {name: (there[name] - here[name]) / share for name in there})

    return derivative


def norm(tensors: Tensors) -> tf.Tensor:
    """Return the global Euclidean norm () of all tensors (…)."""
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(value)) for value in tensors.values()]))


def _differentiate(
    evaluate: Callable[[Tensors], Any], variables: Tensors, learning: Collection[str]
) -> tuple[Any, Tensors]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        result = evaluate(variables)
    return result, _gradients(tape, result.loss, variables, learning)


def _gradients(
    tape: tf.GradientTape, loss: tf.Tensor, variables: Tensors, learning: Collection[str]
) -> Tensors:
    found = tape.gradient(loss, {name: variables[name] for name in variables if name in learning})
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def _both_gradients(record: Record, theta: Tensors) -> Tensors:
    """Return the gradients of the recorded loss on theta and on W, at another theta."""

    def evaluate(both: Tensors) -> Any:
        return record.evaluate(both, {name: both[name] for name in record.weights})

    learning = [*record.gradients, *record.weights]
    return _differentiate(evaluate, {**theta, **record.weights}, learning)[1]


def _split(record: Record, found: Tensors) -> tuple[Tensors, Tensors]:
    """Return the part of theta and the part of W."""
    weights = {name: value for name, value in found.items() if name in record.weights}
    return {name: value for name, value in found.items() if name not in weights}, weights


def _product(record: Record, q: Tensors, wanted: Tensors) -> Tensors:
    """Return d<g, q> / d(wanted)."""
    if not wanted or record.graph is None:
        return {}
    names = list(record.gradients)
    found = record.graph.gradient(
        [record.gradients[name] for name in names],
        wanted,
        output_gradients=[q[name] for name in names],
    )
    return {name: value for name, value in found.items() if value is not None}
