"""Loss and gradients of one batch: the step and the parity ladder both come through here."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.numerics.loss_terms import check_terms
from poc.shared.engine.teacher import COEFFICIENT_PREFIX

from .loss_scale import LossScale
from .methods import Objective, Outcome
from .models import Model
from .weights import learning_names, named_variables, trainable_names


def compute_gradients(
    objective: Objective,
    model: Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    noise: Mapping[str, tf.Tensor],
    extras: Mapping[str, tf.Tensor],
    loss_scale: LossScale | None = None,
) -> Outcome:
    """Forward and backward in training mode.

    What `extras` does not hold of the teacher's outputs is computed here, unrecorded.

    Returns:
        Loss terms (N,), logits (N, num_classes), their mean loss, and the gradient of every
        trainable variable: zero where the loss does not depend on it, enlarged by `loss_scale`.

    Raises:
        CheckFailed: A loss term is not (N,).
    """
    variables = named_variables(model)
    learning = {name: variables[name].value for name in learning_names(model)}
    extras = complete_extras(objective, images, extras)
    with tf.GradientTape() as tape:
        losses, logits = objective.losses(images, labels, noise, extras)
        check_losses(objective, losses, logits, labels)
        loss = tf.add_n([tf.reduce_mean(values) for values in losses.values()])
        scaled = loss if loss_scale is None else loss_scale.enlarge(loss)
    found = tape.gradient(scaled, learning, unconnected_gradients="zero")
    gradients = {
        name: found[name] if name in found else tf.zeros_like(variables[name].value)
        for name in trainable_names(model)
    }
    return Outcome(losses, logits, loss, gradients)


def check_losses(
    objective: Objective,
    losses: Mapping[str, tf.Tensor],
    logits: tf.Tensor | None,
    labels: tf.Tensor,
) -> None:
    """Refuse loss terms that are not one value an example: as many as logits, else as labels."""
    shapes = {name: tuple(values.shape) for name, values in losses.items()}
    examples = labels if logits is None else logits
    check_terms(objective.run.spec.method, shapes, examples.shape[0])


def complete_extras(
    objective: Objective, images: tf.Tensor, extras: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """`extras` with the teacher's outputs, which are computed unless all of them are kept."""
    if any(not name.startswith(COEFFICIENT_PREFIX) for name in extras):
        return dict(extras)
    return {**objective.teacher_outputs(images), **extras}
