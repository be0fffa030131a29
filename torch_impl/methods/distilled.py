"""What the methods that learn from a frozen source network (a teacher) share."""

from collections.abc import Sequence
from typing import Any

import torch

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.teacher import SOURCE_PREFIX
from poc.torch_impl.device import find_device
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights

from .objective import Objective


class Distilled(Objective):
    """An objective with a source: evaluation mode, no gradients, statistics left alone."""

    def __init__(self, run: RunSpec, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        if run.source_network is None:
            raise ValueError(f"Received the method {run.method!r} without a source network.")
        self.options: Any = run.method_settings
        network, device = run.source_network, find_device(run)
        self.source = Model(network, dtype=run.precision).to(device).requires_grad_(False)
        load_weights(
            self.source,
            {
                name.removeprefix(SOURCE_PREFIX): value
                for name, value in weights.items()
                if name.startswith(SOURCE_PREFIX)
            },
        )

    def source_values(self, images: torch.Tensor, nodes: Sequence[str]) -> dict[str, torch.Tensor]:
        """Values of these nodes of the source, with no way back for gradients."""
        with torch.no_grad():
            return self.source.values(images, nodes)
