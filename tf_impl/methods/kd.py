"""Knowledge distillation: a loss of the labels and of a teacher's softened logits."""

from collections.abc import Mapping

import tensorflow as tf

from poc.tf_impl.distillation_losses import soft_cross_entropy

from .distilled import Distilled


class KnowledgeDistillation(Distilled):
    """Objective of `kd` (arXiv 1503.02531); docs/methods/kd.md."""

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the teacher's logits (N, num_classes)."""
        node = self.teacher.network.output
        return {"teacher_logits": self.teacher_values(images, [node])[node]}

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return the weighted terms (N,) `hard` (labels) and `soft` (teacher)."""
        options = self.options
        logits = self.model(images, noise, training=True)
        soft = soft_cross_entropy(
            logits,
            extras["teacher_logits"],
            temperature=options.temperature,
            subtract_entropy=options.soft_loss == "kl",
            scale_by_temperature_squared=options.scale_by_temperature_squared,
        )
        # `convex` shares 1 between both terms; otherwise alpha is added to a full hard loss.
        share = 1 - options.alpha if options.mixing == "convex" else 1.0
        hard = self.hard_loss(logits, labels, extras)
        return {"hard": share * hard, "soft": options.alpha * soft}, logits
