"""Transfer learning and FixRes: labels alone, from outputs of frozen layers that may be kept."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.training.output_cache import KEPT_PREFIX
from poc.shared.spec.networks.freezing import frontier
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.tf_impl.models import Model

from .objective import Objective


class TransferLearning(Objective):
    """Objective of `transfer` and `fixres`; docs/methods/transfer.md."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        # The frozen nodes that trained ones read. If they are kept, no node before is computed.
        self.frontier = frontier(model.network)

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the outputs (N, …) of frozen layers that trained layers read."""
        values = self.model.values(images, self.frontier)
        return {KEPT_PREFIX + name: tf.stop_gradient(value) for name, value in values.items()}

    def logits(self, images: tf.Tensor, extras: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return logits (N, num_classes) in evaluation mode, from kept outputs if there are any."""
        output = self.model.network.output
        return self.model.values(images, [output], given=self.given(extras))[output]

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return the term (N,) `hard`, the loss of the labels, and the logits."""
        output = self.model.network.output
        values = self.model.values(images, [output], noise, training=True, given=self.given(extras))
        return {"hard": self.hard_loss(values[output], labels, extras)}, values[output]

    def given(self, extras: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return node -> its kept output (N, …), for all nodes that are kept."""
        return {
            name: extras[KEPT_PREFIX + name]
            for name in self.frontier
            if KEPT_PREFIX + name in extras
        }
