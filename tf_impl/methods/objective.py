"""What every method offers to the step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import tensorflow as tf

from poc.shared.spec.run import RunSpec
from poc.tf_impl.models import Model


class Objective(ABC):
    """A method's loss on one batch, built once a run around the model that it trains."""

    def __init__(self, run: RunSpec, model: Model) -> None:
        self.run, self.model = run, model

    @abstractmethod
    def losses(
        self, images: tf.Tensor, labels: tf.Tensor, noise: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Named loss terms, each (N,) and to be summed, and the logits (N, num_classes)."""
