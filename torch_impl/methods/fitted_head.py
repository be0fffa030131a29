"""Heads that are fitted to features of frozen layers in one pass: a step moves nothing."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from .objective import Outcome
from .transfer import TransferLearning


class FittedHead(TransferLearning):
    """Objective of `knn` and `logistic`; docs/methods/knn.md, docs/methods/logistic.md.

    `shared/engine/training/heads/` computes the head once the features of all images are known.
    """

    owns_update: ClassVar[bool] = True

    @torch.no_grad()
    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """Compute losses (N,) and logits (N, num_classes) of N images, and move nothing."""
        losses, logits = self.losses(images, labels, noise, extras)
        loss = torch.stack([values.mean() for values in losses.values()]).sum()
        return Outcome(losses, logits, loss, {})
