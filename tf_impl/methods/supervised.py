"""Supervised training: the loss of the labels."""

from collections.abc import Mapping

import tensorflow as tf

from .objective import Objective


class Supervised(Objective):
    """Objective of every method that learns from labels alone."""

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return terms (N,): `hard`, the loss of the labels, and one per auxiliary head."""
        network = self.model.network
        wanted = [network.output, *network.auxiliary]
        values = self.model.values(images, wanted, noise, training=True)
        logits = values[network.output]
        # Auxiliary heads, as those of GoogLeNet, exist in training only: evaluation skips them.
        terms = {
            name: weight * self.hard_loss(values[name], labels, extras)
            for name, weight in network.auxiliary.items()
        }
        return {"hard": self.hard_loss(logits, labels, extras), **terms}, logits
