"""Reverse-mode hyper-gradients through SGD with momentum and coupled weight decay, in PyTorch.

A step is v' = mu*v + g(p, W) + wd*p, p' = p - rate*v'. Backwards, with the adjoints a of p and b of
v, q = b - rate*a and the gradient g of the recorded step (Franceschi et al., arXiv 1703.01785):

    adjoint of W += d<g, q>/dW,   a <- a + wd*q + d<g, q>/dp,   b <- mu*q
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

Tensors = dict[str, torch.Tensor]
# (theta, W) -> mean loss of one recorded step.
Loss = Callable[[Tensors, Tensors], torch.Tensor]


class Descent(NamedTuple):
    """One rate, one momentum, one coupled L2 coefficient a parameter."""

    learning_rate: torch.Tensor | float
    momentum: float
    weight_decays: Mapping[str, float]


class Record(NamedTuple):
    """One recorded step: where it stood, what it depends on, and its gradient.

    `theta` and `weights` are the leaves of the gradient's graph; `weights` is empty where the loss
    does not depend on the meta-networks. `gradients` holds the parameters that the loss reaches.
    """

    theta: Tensors
    weights: Tensors
    gradients: Tensors
    loss: Loss


Derivative = Callable[[Record, Tensors, bool], tuple[Tensors, Tensors]]


def descend(
    theta: Mapping[str, torch.Tensor],
    velocity: Mapping[str, torch.Tensor],
    gradients: Mapping[str, torch.Tensor],
    descent: Descent,
) -> tuple[Tensors, Tensors]:
    """One step: new (theta, velocity). Without a gradient, momentum and decay still act."""
    new_theta, new_velocity = {}, {}
    with torch.no_grad():
        for name, value in theta.items():
            change = descent.momentum * velocity[name]
            if name in gradients:
                change += gradients[name].detach()
            if decay := descent.weight_decays[name]:
                change.add_(value, alpha=decay)
            new_velocity[name] = change
            new_theta[name] = value - descent.learning_rate * change
    return new_theta, new_velocity


def differentiate(
    loss: torch.Tensor, variables: Mapping[str, torch.Tensor], *, keeps_graph: bool = False
) -> Tensors:
    """Gradients of the variables that the loss reaches."""
    found = torch.autograd.grad(
        loss, list(variables.values()), create_graph=keeps_graph, allow_unused=True
    )
    pairs = zip(variables, found, strict=True)
    return {name: gradient for name, gradient in pairs if gradient is not None}


def as_leaves(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The same values as independent variables."""
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}


def clip(gradients: Tensors, largest: float | None) -> Tensors:
    """Scaled down where their global norm is above `largest`."""
    if largest is None:
        return gradients
    with torch.no_grad():
        norm = torch.stack([value.square().sum() for value in gradients.values()]).sum().sqrt()
        share = (largest / (norm + 1e-6)).clamp_max(1.0)
        return {name: value * share for name, value in gradients.items()}


def reverse(
    records: Sequence[Record],
    outer: Mapping[str, torch.Tensor],
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
    position = {name: outer.get(name, torch.zeros_like(some[name])) for name in some}
    momentum = {name: torch.zeros_like(value) for name, value in some.items()}
    adjoint: Tensors = {}
    for index in reversed(range(len(records))):
        with torch.no_grad():
            q = {n: momentum[n] - descent.learning_rate * position[n] for n in position}
        to_theta, to_weights = derivative(records[index], q, index == 0)
        for name, value in to_weights.items():
            adjoint[name] = adjoint[name] + value if name in adjoint else value
        if index == 0:
            break
        with torch.no_grad():
            for name, value in q.items():
                position[name] = position[name] + descent.weight_decays[name] * value
                if name in to_theta:
                    position[name] = position[name] + to_theta[name]
                momentum[name] = descent.momentum * value
    return adjoint


def exact(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """d<g, q> through the recorded graph, which is used up."""
    wanted = dict(record.weights)
    if not is_first:
        wanted |= {name: record.theta[name] for name in record.gradients}
    found = _product(record, q, wanted)
    to_theta = {name: value for name, value in found.items() if name in record.theta}
    return to_theta, {name: value for name, value in found.items() if name in record.weights}


def first_order(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
    """The mixed derivative alone; the Hessian is left out."""
    return {}, _product(record, q, record.weights)


def finite_difference(length: float) -> Derivative:
    """One-sided difference of both gradients along q, over a step of this length."""

    def derivative(record: Record, q: Tensors, is_first: bool) -> tuple[Tensors, Tensors]:
        with torch.no_grad():
            norm = torch.stack([value.square().sum() for value in q.values()]).sum().sqrt()
            share = length / (norm + torch.finfo(norm.dtype).tiny)
            moved = {name: value + share * q[name] for name, value in record.theta.items()}
        here = {**record.gradients, **gradient_of_weights(record, record.theta)}
        leaves, weights = as_leaves(moved), as_leaves(record.weights)
        wanted = {name: leaves[name] for name in record.gradients} | weights
        there = differentiate(record.loss(leaves, weights), wanted)
        change = {name: (there[name] - here[name].detach()) / share for name in there}
        to_theta = {name: value for name, value in change.items() if name in record.theta}
        return to_theta, {n: value for n, value in change.items() if n in record.weights}

    return derivative


def gradient_of_weights(record: Record, theta: Tensors) -> Tensors:
    """Gradient of the recorded loss on W."""
    if not record.weights:
        return {}
    weights = as_leaves(record.weights)
    return differentiate(record.loss({n: v.detach() for n, v in theta.items()}, weights), weights)


def _product(record: Record, q: Tensors, wanted: Tensors) -> Tensors:
    """d<g, q> / d(wanted)."""
    if not wanted:
        return {}
    names = [name for name, value in record.gradients.items() if value.requires_grad]
    found = torch.autograd.grad(
        [record.gradients[name] for name in names],
        list(wanted.values()),
        [q[name] for name in names],
        allow_unused=True,
    )
    pairs = zip(wanted, found, strict=True)
    return {name: value for name, value in pairs if value is not None}
