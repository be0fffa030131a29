"""What every method offers to the step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import tensorflow as tf

from poc.shared.spec.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.tf_impl.models import Model


class Objective(ABC):
    """A method's loss on one batch, built once a run around the model that it trains.

    `weights` hold all that the run starts from: also those of a source network, where there is one.
    """

    def __init__(self, run: RunSpec, model: Model, weights: Weights) -> None:
        self.run, self.model = run, model

    def source_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the loss needs from what is frozen, each (N, …); never differentiated."""
        return {}

    def logits(self, images: tf.Tensor, known: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """(N, num_classes) in evaluation mode; `known` may stand for the images."""
        return self.model(images)

    @abstractmethod
    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        known: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Named loss terms, each (N,) and to be summed, and the logits (N, num_classes).

        `known` holds the source's outputs and the step's coefficients. The logits are none in a
        stage that does not compute them.
        """
