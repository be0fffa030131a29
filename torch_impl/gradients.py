"""Loss and gradients of one batch, for the training step and for the parity ladder."""

from collections.abc import Mapping

import torch

from poc.shared.engine.numerics.loss_terms import check_terms
from poc.shared.engine.ranks.parts import EXAMPLE_SHARE
from poc.shared.engine.step_numbers import GROUP_SHARE
from poc.shared.engine.teacher import COEFFICIENT_PREFIX

from .methods import Objective, Outcome
from .models import Model
from .optimizers.loss_scale import LossScale
from .ranked_gradients import (
    average_statistics,
    norms_of_step,
    sum_gradients,
    take_gradients,
)
from .ranks.losses import mean_loss
from .weights import learning_names, named_variables, trainable_names


def compute_gradients(
    objective: Objective,
    model: Model,
    images: torch.Tensor,
    labels: torch.Tensor,
    noise: Mapping[str, torch.Tensor],
    extras: Mapping[str, torch.Tensor],
    loss_scale: LossScale | None = None,
) -> Outcome:
    """Run forward and backward in training mode; the gradients are also in `.grad`.

    Teacher outputs that `extras` lacks are computed here, without a gradient.

    Args:
        objective: The method's losses.
        model: The network that is trained.
        images: (N, C, H, W).
        labels: (N,) int64, or soft ones (N, num_classes).
        noise: Masks (N, …) of the random layers.
        extras: Kept outputs (N, …) and scalars () of this step. One of them may be the share of
            the batch in its update, another that of each example in the batch of all ranks.
        loss_scale: Enlarges the loss before its gradient is taken.

    Returns:
        Loss terms (N,), logits (N, num_classes), the mean loss (), and the gradient of every
        trainable variable: 0 if the loss does not depend on it, enlarged by `loss_scale`. With a
        share of the batch it is times that share, and added to what `.grad` has already. With
        several ranks it is the sum over them, and the loss is this rank's share of the mean.

    Raises:
        CheckFailed: A loss term is not (N,).
    """
    variables, earlier = named_variables(model), {}
    if GROUP_SHARE not in extras:
        model.zero_grad()
    elif EXAMPLE_SHARE in extras:
        earlier = take_gradients(model)
    extras = complete_extras(objective, images, extras)
    with norms_of_step(objective, extras):
        losses, logits = objective.losses(images, labels, noise, extras)
    check_losses(objective, losses, logits, labels)
    loss = mean_loss(losses, extras)
    # `backward` gives each gradient the memory layout of its parameter, `autograd.grad` does not.
    # The fused optimisers rely on that layout: without it their update is silently wrong.
    part = loss * extras[GROUP_SHARE] if GROUP_SHARE in extras else loss
    scaled = part if loss_scale is None else loss_scale.enlarge(part)
    # Biases that a batch norm cancels are left out: theirs is 0, not noise (docs/decisions/0003).
    if learning := learning_names(model):
        scaled.backward(inputs=[variables[name] for name in learning])
    gradients = {}
    for name in trainable_names(model):
        if variables[name].grad is None:
            # Without a gradient the optimiser would skip the variable, and its weight decay too.
            variables[name].grad = torch.zeros_like(variables[name])
        gradients[name] = variables[name].grad
    if EXAMPLE_SHARE in extras:
        gradients = sum_gradients(model, gradients, earlier)
        average_statistics(objective, model, len(labels), extras)
    return Outcome(losses, logits, loss, gradients, objective.watched)


def check_losses(
    objective: Objective,
    losses: Mapping[str, torch.Tensor],
    logits: torch.Tensor | None,
    labels: torch.Tensor,
) -> None:
    """Refuse loss terms that are not (N,), with N from the logits, or else from the labels."""
    shapes = {name: tuple(values.shape) for name, values in losses.items()}
    examples = labels if logits is None else logits
    check_terms(objective.run.spec.method, shapes, examples.shape[0])


def complete_extras(
    objective: Objective, images: torch.Tensor, extras: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return `extras` with the teacher's outputs (N, …), computed unless they are kept."""
    # Kept outputs come all together or not at all; coefficients of the step come either way.
    if any(not name.startswith(COEFFICIENT_PREFIX) for name in extras):
        return dict(extras)
    return {**objective.teacher_outputs(images), **extras}
