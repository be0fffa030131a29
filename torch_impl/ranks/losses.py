"""The mean loss of a batch of which several ranks have a part each, in PyTorch."""

from collections.abc import Mapping

import torch

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE


def mean_loss(
    losses: Mapping[str, torch.Tensor], extras: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Return the mean () of loss terms (N,), added up; of several ranks, this one's share of it."""
    if EXAMPLE_SHARE in extras:
        total = torch.stack([values.sum() for values in losses.values()]).sum()
        return total * extras[EXAMPLE_SHARE]
    return torch.stack([values.mean() for values in losses.values()]).sum()
