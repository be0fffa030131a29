"""What every method offers to the step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from poc.shared.spec.run import RunSpec
from poc.torch_impl.models import Model


class Objective(ABC):
    """A method's loss on one batch, built once a run around the model that it trains."""

    def __init__(self, run: RunSpec, model: Model) -> None:
        self.run, self.model = run, model

    @abstractmethod
    def losses(
        self, images: torch.Tensor, labels: torch.Tensor, noise: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Named loss terms, each (N,) and to be summed, and the logits (N, num_classes)."""
