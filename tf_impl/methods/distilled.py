"""What the methods that learn from a frozen source network (a teacher) share."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.teacher import SOURCE_PREFIX
from poc.tf_impl.device import find_device
from poc.tf_impl.models import Model
from poc.tf_impl.weights import load_weights

from .objective import Objective


class Distilled(Objective):
    """An objective with a source: evaluation mode, no gradients, statistics left alone."""

    def __init__(self, run: RunSpec, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        if run.source_network is None:
            raise ValueError(f"Received the method {run.method!r} without a source network.")
        self.options: Any = run.method_settings
        with tf.device(find_device(run)):
            self.source = Model(run.source_network, dtype=run.precision)
        self.source.trainable = False
        load_weights(
            self.source,
            {
                name.removeprefix(SOURCE_PREFIX): value
                for name, value in weights.items()
                if name.startswith(SOURCE_PREFIX)
            },
        )

    def source_values(self, images: tf.Tensor, nodes: Sequence[str]) -> dict[str, tf.Tensor]:
        """Values of these nodes of the source, with no way back for gradients."""
        values = self.source.values(images, nodes)
        return {name: tf.stop_gradient(value) for name, value in values.items()}
