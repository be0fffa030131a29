"""Plain supervised training: cross-entropy on the labels."""

from collections.abc import Mapping

import tensorflow as tf

from poc.tf_impl.losses import cross_entropy

from .objective import Objective


class Supervised(Objective):
    """Objective of every method that learns from labels alone."""

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        known: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The term `hard`: cross-entropy with the labels."""
        logits = self.model(images, noise, training=True)
        return {"hard": cross_entropy(logits, labels)}, logits
