"""The common part of methods that learn from a frozen teacher."""

from collections.abc import Sequence
from typing import Any

import torch

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.teacher import TEACHER_PREFIX
from poc.torch_impl.device import find_device
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights

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
        network, device = run.teacher_network, find_device(run.spec)
        self.teacher = Model(network, dtype=run.spec.precision).to(device).requires_grad_(False)
        # One file holds the weights of both networks: the prefix keeps their names apart.
        load_weights(
            self.teacher,
            {
                name.removeprefix(TEACHER_PREFIX): value
                for name, value in weights.items()
                if name.startswith(TEACHER_PREFIX)
            },
        )

    def teacher_values(self, images: torch.Tensor, nodes: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return outputs (N, …) of the teacher's nodes for images (N, C, H, W), as constants."""
        with torch.no_grad():
            return self.teacher.values(images, nodes)
