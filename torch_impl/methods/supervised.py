"""Plain supervised training: cross-entropy on the labels."""

from collections.abc import Mapping

import torch

from poc.torch_impl.losses import cross_entropy

from .objective import Objective


class Supervised(Objective):
    """Objective of every method that learns from labels alone."""

    def losses(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        known: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """The term `hard`: cross-entropy with the labels."""
        logits = self.model(images, noise, training=True)
        return {"hard": cross_entropy(logits, labels)}, logits
