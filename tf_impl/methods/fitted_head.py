"""Heads that are fitted to features of frozen layers in one pass: a step moves nothing."""

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from .objective import Outcome
from .transfer import TransferLearning


class FittedHead(TransferLearning):
    """Objective of `knn` and `logistic`; docs/methods/knn.md, docs/methods/logistic.md.

    `shared/engine/training/heads/` computes the head once the features of all images are known.
    """

    owns_update: ClassVar[bool] = True

    def update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        learning_rate: tf.Tensor | float,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> Outcome:
        """Compute losses (N,) and logits (N, num_classes) of N images, and move nothing."""
        losses, logits = self.losses(images, labels, noise, extras)
        loss = tf.add_n([tf.reduce_mean(values) for values in losses.values()])
        return Outcome(losses, logits, loss, {})
