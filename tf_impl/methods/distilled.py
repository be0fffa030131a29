"""The common part of methods that learn from a frozen teacher."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.teacher import TEACHER_PREFIX
from poc.tf_impl.device import find_device
from poc.tf_impl.models import Model
from poc.tf_impl.weights import load_weights

from .objective import Objective


class Distilled(Objective):
    """An objective with a teacher in evaluation mode, without gradients or new statistics."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        if run.teacher_network is None:
            raise ValueError(
                f"Got method={run.spec.method!r} without a teacher network. Expected one."
            )
        self.options: Any = run.method_settings
        with tf.device(find_device(run.spec)):
            self.teacher = Model(run.teacher_network, dtype=run.spec.precision)
        self.teacher.trainable = False
        # One file holds the weights of both networks: the prefix keeps their names apart.
        load_weights(
            self.teacher,
            {
                name.removeprefix(TEACHER_PREFIX): value
                for name, value in weights.items()
                if name.startswith(TEACHER_PREFIX)
            },
        )

    def teacher_values(self, images: tf.Tensor, nodes: Sequence[str]) -> dict[str, tf.Tensor]:
        """Return outputs (N, …) of the teacher's nodes for images (N, H, W, C), as constants."""
        values = self.teacher.values(images, nodes)
        return {name: tf.stop_gradient(value) for name, value in values.items()}
