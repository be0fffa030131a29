"""Loss and gradients of one batch: the step and the parity ladder both come through here."""

from collections.abc import Mapping

import torch

from poc.shared.engine.numerics.loss_terms import check_terms
from poc.shared.engine.teacher import COEFFICIENT_PREFIX

from .loss_scale import LossScale
from .methods import Objective, Outcome
from .models import Model
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
    """Forward and backward in training mode; gradients also stand in `.grad`.

    What `extras` does not hold of the teacher's outputs is computed here, unrecorded.

    Returns:
        Loss terms (N,), logits (N, num_classes), their mean loss, and the gradient of every
        trainable variable: zero where the loss does not depend on it, enlarged by `loss_scale`.

    Raises:
        CheckFailed: A loss term is not (N,).
    """
    variables = named_variables(model)
    model.zero_grad()
    extras = complete_extras(objective, images, extras)
    losses, logits = objective.losses(images, labels, noise, extras)
    check_losses(objective, losses, logits, labels)
    loss = torch.stack([values.mean() for values in losses.values()]).sum()
    # backward() lays each gradient out like its parameter, which the fused optimisers take for
    # granted; autograd.grad does not, and their update is then silently wrong.
    scaled = loss if loss_scale is None else loss_scale.enlarge(loss)
    scaled.backward(inputs=[variables[name] for name in learning_names(model)])
    gradients = {}
    for name in trainable_names(model):
        if variables[name].grad is None:
            variables[name].grad = torch.zeros_like(variables[name])
        gradients[name] = variables[name].grad
    return Outcome(losses, logits, loss, gradients)


def check_losses(
    objective: Objective,
    losses: Mapping[str, torch.Tensor],
    logits: torch.Tensor | None,
    labels: torch.Tensor,
) -> None:
    """Refuse loss terms that are not one value an example: as many as logits, else as labels."""
    shapes = {name: tuple(values.shape) for name, values in losses.items()}
    examples = labels if logits is None else logits
    check_terms(objective.run.spec.method, shapes, examples.shape[0])


def complete_extras(
    objective: Objective, images: torch.Tensor, extras: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """`extras` with the teacher's outputs, which are computed unless all of them are kept."""
    if any(not name.startswith(COEFFICIENT_PREFIX) for name in extras):
        return dict(extras)
    return {**objective.teacher_outputs(images), **extras}
