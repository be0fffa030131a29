"""Reverse-mode hyper-gradients through SGD with momentum and coupled weight decay, in PyTorch.

A step is v' = mu*v + g(p, W) + wd*p, p' = p - rate*v'. Backwards, with the adjoints a of p and b of
v, q = b - rate*a and the gradient g of the recorded step (Franceschi et al., arXiv 1703.01785):

    adjoint of W += d<g, q>/dW,   a <- a + wd*q + d<g, q>/dp,   b <- mu*q

In a step of several ranks, g is the sum of each rank's gradient. Each rank has its own examples'
rows of W, and adds up with the others what belongs to p.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from poc.torch_impl.ranks.collectives import sum_named

Tensors = dict[str, torch.Tensor]
# (theta, W) -> any object whose attribute `loss` is the mean loss of a step.
Evaluate = Callable[[Tensors, Tensors], Any]


class Descent(NamedTuple):
    """The numbers of a step: rate (), momentum and one coupled L2 coefficient per parameter."""

    learning_rate: torch.Tensor | float
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
    theta: Mapping[str, torch.Tensor],
    velocity: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor],
    descent: Descent,
) -> tuple[Tensors, Tensors]:
    """Take one step, and return the new theta and velocity, with the shapes (…) of the old.

    Momentum and decay also move parameters without a gradient.
    """
    new_theta, new_velocity = {}, {}
    with torch.no_grad():
        for name, value in theta.items():
            change = descent.momentum * velocity[name]
            if name in gradients:
                change.add_(gradients[name])
            if decay := descent.weight_decays[name]:
                change.add_(value, alpha=decay)
            new_velocity[name] = change
            new_theta[name] = torch.sub(value, change, alpha=descent.learning_rate)
    return new_theta, new_velocity


def differentiate(
    evaluate: Callable[[Tensors], Any], variables: Tensors, learning: Collection[str]
) -> tuple[Any, Tensors]:
    """Return the result of `evaluate`, and the gradient of its `loss` on learning variables.

    It is summed over ranks. Each gradient has the shape (…) of its variable. A variable that the
    loss does not reach has no gradient.
    """
    leaves = _as_leaves(variables)
    result = evaluate(leaves)
    return result, sum_named(_gradients(result.loss, leaves, learning))


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
    # New leaves: the graph of a step ends at its own theta and W. `reverse` joins the steps.
    theta, weights = _as_leaves(theta), _as_leaves(weights)
    result = evaluate(theta, weights)
    gradients = _gradients(result.loss, theta, learning, keeps_graph=keeps_graph)
    return Record(theta, weights, gradients, sum_named(gradients), evaluate, None), result


def pull_back(
    function: Callable[[Tensors], Tensors], variables: Tensors, adjoint: Tensors
) -> Tensors:
    """Return the gradient of <function(variables), adjoint>, shapes (…) of the variables.

    It is summed over ranks.
    """
    leaves = _as_leaves(variables)
    outputs = function(leaves)
    found = torch.autograd.grad(
        [outputs[name] for name in adjoint], list(leaves.values()), list(adjoint.values())
    )
    return sum_named(dict(zip(leaves, found, strict=True)))


def clip(gradients: Tensors, largest: float | None) -> Tensors:
    """Scale gradients (…) down if their global norm is above `largest`."""
    if largest is None or not gradients:
        return gradients
    share = (largest / (norm(gradients) + 1e-6)).clamp_max(1.0)
    return {name: value * share for name, value in gradients.items()}


def reverse(
    records: Sequence[Record],
    outer: Mapping[str, torch.Tensor],
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
    position = {name: outer.get(name, torch.zeros_like(some[name])) for name in some}
    momentum = {name: torch.zeros_like(value) for name, value in some.items()}
    adjoint: Tensors = {}
    for index in reversed(range(len(records))):
        with torch.no_grad():
            rate = descent.learning_rate
            q = {n: torch.sub(momentum[n], a, alpha=rate) for n, a in position.items()}
        to_theta, to_weights = derivative(records[index], q, index == 0)
        to_theta = sum_named(to_theta)
        for name, value in to_weights.items():
            adjoint[name] = adjoint[name] + value if name in adjoint else value
        # W does not depend on the first theta, so its adjoint is not needed.
        if index == 0:
            break
        with torch.no_grad():
            for name, value in q.items():
                decayed = torch.add(position[name], value, alpha=descent.weight_decays[name])
                position[name] = decayed.add_(to_theta[name]) if name in to_theta else decayed
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
        with torch.no_grad():
            share = length / norm(q)
            moved = {name: value + share * q[name] for name, value in record.theta.items()}
        there, here = (_both_gradients(record, theta) for theta in (moved, record.theta))
        return _split(record, {name: (there[name] - here[name]) / share for name in there})

    return derivative


def norm(tensors: Tensors) -> torch.Tensor:
    """Return the global Euclidean norm () of all tensors (…)."""
    squares = torch.stack([value.detach().square().sum() for value in tensors.values()])
    return squares.sum().sqrt()


def _as_leaves(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}


def _gradients(
    loss: torch.Tensor, leaves: Tensors, learning: Collection[str], *, keeps_graph: bool = False
) -> Tensors:
    names = [name for name in leaves if name in learning]
    variables = [leaves[name] for name in names]
    found = torch.autograd.grad(loss, variables, create_graph=keeps_graph, allow_unused=True)
    pairs = zip(names, found, strict=True)
    return {name: gradient for name, gradient in pairs if gradient is not None}


def _both_gradients(record: Record, theta: Tensors) -> Tensors:
    """Return the gradients of the recorded loss on theta and on W, at another theta."""
    leaves = _as_leaves({**theta, **record.weights})
    weights = {name: leaves[name] for name in record.weights}
    loss = record.evaluate(leaves, weights).loss
    return _gradients(loss, leaves, [*record.gradients, *weights])


def _split(record: Record, found: Tensors) -> tuple[Tensors, Tensors]:
    """Return the part of theta and the part of W."""
    weights = {name: value for name, value in found.items() if name in record.weights}
    return {name: value for name, value in found.items() if name not in weights}, weights


def _product(record: Record, q: Tensors, wanted: Tensors) -> Tensors:
    """Return d<g, q> / d(wanted)."""
    names = [name for name, value in record.gradients.items() if value.requires_grad]
    if not wanted or not names:
        return {}
    found = torch.autograd.grad(
        [record.gradients[name] for name in names],
        list(wanted.values()),
        [q[name] for name in names],
        allow_unused=True,
    )
    pairs = zip(wanted, found, strict=True)
    return {name: value for name, value in pairs if value is not None}
