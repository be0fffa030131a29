"""Learning without Forgetting: a head for the labels, one that keeps the teacher's outputs."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.spec.methods.distillation import OLD_HEAD, WARMUP
from poc.tf_impl.distillation_losses import soft_cross_entropy

from .distilled import Distilled


class LearningWithoutForgetting(Distilled):
    """Objective of `lwf` (arXiv 1606.09282); docs/methods/lwf.md."""

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the teacher's logits (N, num_old_classes)."""
        node = self.teacher.network.output
        return {"teacher_logits": self.teacher_values(images, [node])[node]}

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return the terms (N,) `hard` (labels) and, after the warm-up, `old` (teacher)."""
        options, network = self.options, self.model.network
        # In the warm-up only the new head is trained, so the old one cannot change.
        if self.run.spec.stage == WARMUP:
            logits = self.model(images, noise, training=True)
            return {"hard": self.hard_loss(logits, labels, extras)}, logits
        values = self.model.values(images, [network.output, OLD_HEAD], noise, training=True)
        logits = values[network.output]
        old = soft_cross_entropy(
            values[OLD_HEAD],
            extras["teacher_logits"],
            temperature=options.temperature,
            subtract_entropy=options.soft_loss == "kl",
            scale_by_temperature_squared=options.scale_by_temperature_squared,
        )
        hard = self.hard_loss(logits, labels, extras)
        return {"hard": hard, "old": options.lambda_old * old}, logits
