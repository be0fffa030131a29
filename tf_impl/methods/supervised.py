"""Supervised training: cross-entropy with the labels."""

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
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return terms (N,): `hard`, cross-entropy with the labels, and one per auxiliary head."""
        network = self.model.network
        wanted = [network.output, *network.auxiliary]
        values = self.model.values(images, wanted, noise, training=True)
        logits = values[network.output]
        # Auxiliary heads, as those of GoogLeNet, exist in training only: evaluation skips them.
        terms = {
            name: weight * cross_entropy(values[name], labels)
            for name, weight in network.auxiliary.items()
        }
        return {"hard": cross_entropy(logits, labels), **terms}, logits
