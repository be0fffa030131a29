"""Reverse-mode hyper-gradients through SGD with momentum and coupled weight decay, in TensorFlow.

A step is v' = mu*v + g(p, W) + wd*p, p' = p - rate*v'. Backwards, with the adjoints a of p and b of
v, q = b - rate*a and the gradient g of the recorded step (Franceschi et al., arXiv 1703.01785):

    adjoint of W += d<g, q>/dW,   a <- a + wd*q + d<g, q>/dp,   b <- mu*q
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

Tensors = dict[str, tf.Tensor]
# (theta, W) -> something with the mean `loss` of a step.
Evaluate = Callable[[Tensors, Tensors], Any]


class Descent(NamedTuple):
    """One rate, one momentum, one coupled L2 coefficient a parameter."""

    learning_rate: tf.Tensor | float
    momentum: float
    weight_decays: Mapping[str, float]


class Record(NamedTuple):
    """One recorded step: where it stood, what it depends on, and its gradient.

    `weights` is W, empty where the loss does not depend on it. `gradients` holds the parameters
    that the loss reaches. `graph` is what the framework needs to differentiate them again.
    """

    theta: Tensors
    weights: Tensors
    gradients: Tensors
    evaluate: Evaluate
    graph: Any


Derivative = Callable[[Record, Tensors, bool], tuple[Tensors, Tensors]]


def descend(
    theta: Mapping[str, tf.Tensor],
    velocity: Mapping[str, tf.Tensor],
    gradients: Mapping[str, tf.Tensor],
    descent: Descent,
) -> tuple[Tensors, Tensors]:
    """One step: new (theta, velocity). Without a gradient, momentum and decay still act."""
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
    """What `evaluate` gives, and the gradient of its `loss` on the variables that it reaches."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        result = evaluate(variables)
    return result, _gradients(tape, result.loss, variables, learning)


def record(
    evaluate: Evaluate,
    theta: Tensors,
    weights: Tensors,
    learning: Collection[str],
    *,
    keeps_graph: bool,
) -> tuple[Record, Any]:
    """A step's gradient, ready to be differentiated again, and what `evaluate` gave."""
    if not keeps_graph:
        result, gradients = differentiate(lambda at: evaluate(at, weights), theta, learning)
        return Record(theta, weights, gradients, evaluate, None), result
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([theta, weights])
        result, gradients = differentiate(lambda at: evaluate(at, weights), theta, learning)
    return Record(theta, weights, gradients, evaluate, tape), result


def pull_back(
    function: Callable[[Tensors], Tensors], variables: Tensors, adjoint: Tensors
) -> Tensors:
    """Gradient of <function(variables), adjoint> on every variable."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        outputs = function(variables)
    names = list(adjoint)
    return tape.gradient(
        [outputs[name] for name in names],
        variables,
        output_gradients=[adjoint[name] for name in names],
    )


def clip(gradients: Tensors, largest: float | None) -> Tensors:
    """Scaled down where their global norm is above `largest`."""
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
    """Adjoint of W after all recorded steps.

    Args:
        records: In the order in which they were taken.
        outer: Gradient of the outer loss at the last theta.
        descent: The steps' own numbers.
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
        for name, value in to_weights.items():
            adjoint[name] = adjoint[name] + value if name in adjoint else value
        if index == 0:
            break
        for name, value in q.items():
            position[name] = position[name] + descent.weight_decays[name] * value
            if name in to_theta:
                position[name] = position[name] + to_theta[name]
            momentum[name] = descent.momentum * value
    return adjoint


def exact(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """d<g, q> through the recorded graph, which is used up."""
    wanted = {} if is_first else {name: record.theta[name] for name in record.gradients}
    return _split(record, _product(record, q, {**wanted, **record.weights}))


def first_order(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """The mixed derivative alone; the Hessian is left out."""
    return {}, _product(record, q, record.weights)


def finite_difference(length: float) -> Derivative:
    """One-sided difference of both gradients along q, over a step of this length."""

    def derivative(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
        share = length / norm(q)
        moved = {name: value + share * q[name] for name, value in record.theta.items()}
        there, here = (_both_gradients(record, theta) for theta in (moved, record.theta))
        return _split(record, {name: (there[name] - here[name]) / share for name in there})

    return derivative


def norm(tensors: Tensors) -> tf.Tensor:
    """Global Euclidean norm."""
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(value)) for value in tensors.values()]))


def _gradients(
    tape: tf.GradientTape, loss: tf.Tensor, variables: Tensors, learning: Collection[str]
) -> Tensors:
    found = tape.gradient(loss, {name: variables[name] for name in variables if name in learning})
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def _both_gradients(record: Record, theta: Tensors) -> Tensors:
    """Gradients of the recorded loss on theta and on W, at another theta."""

    def evaluate(both: Tensors) -> Any:
        return record.evaluate(both, {name: both[name] for name in record.weights})

    learning = [*record.gradients, *record.weights]
    return differentiate(evaluate, {**theta, **record.weights}, learning)[1]


def _split(record: Record, found: Tensors) -> tuple[Tensors, Tensors]:
    """What belongs to theta, and what belongs to W."""
    weights = {name: value for name, value in found.items() if name in record.weights}
    return {name: value for name, value in found.items() if name not in weights}, weights


def _product(record: Record, q: Tensors, wanted: Tensors) -> Tensors:
    """d<g, q> / d(wanted)."""
    if not wanted or record.graph is None:
        return {}
    names = list(record.gradients)
    found = record.graph.gradient(
        [record.gradients[name] for name in names],
        wanted,
        output_gradients=[q[name] for name in names],
    )
    return {name: value for name, value in found.items() if value is not None}
