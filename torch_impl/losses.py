"""Losses in PyTorch: per-example values (N,); the caller takes the mean."""

import torch
from torch.nn import functional as F


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy -sum_c label_c log softmax(logits)_c of every example.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64, or soft ones (N, num_classes), of which each row is a distribution.

    Returns:
        (N,) loss per example.
    """
    return F.cross_entropy(logits, labels, reduction="none")
