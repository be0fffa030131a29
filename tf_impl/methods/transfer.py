"""Transfer learning and FixRes: cross-entropy, on values of the frozen part that may be kept."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.training.output_cache import KEPT_PREFIX
from poc.shared.spec.networks.freezing import frontier
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.tf_impl.losses import cross_entropy
from poc.tf_impl.models import Model

from .objective import Objective


class TransferLearning(Objective):
    """Objective of `transfer` and `fixres`; docs/methods/transfer.md."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        self.frontier = frontier(model.network)

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Values of the frozen part that the moving part reads, each (N, …)."""
        values = self.model.values(images, self.frontier)
        return {KEPT_PREFIX + name: tf.stop_gradient(value) for name, value in values.items()}

    def logits(self, images: tf.Tensor, extras: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """(N, num_classes) in evaluation mode, from what is kept of the frozen part."""
        output = self.model.network.output
        return self.model.values(images, [output], given=self.given(extras))[output]

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The term `hard`: cross-entropy with the labels."""
        output = self.model.network.output
        values = self.model.values(images, [output], noise, training=True, given=self.given(extras))
        return {"hard": cross_entropy(values[output], labels)}, values[output]

    def given(self, extras: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Node -> its value, of what is kept."""
        return {
            name: extras[KEPT_PREFIX + name]
            for name in self.frontier
            if KEPT_PREFIX + name in extras
        }
