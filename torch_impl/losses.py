"""Losses in PyTorch: per-example values (N,); the caller takes the mean."""

import torch
from torch.nn import functional as F


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-sum(label * log softmax(logits)): logits (N, num_classes) -> (N,).

    Labels are (N,) int64, or soft: (N, num_classes), each row a distribution.
    """
    return F.cross_entropy(logits, labels, reduction="none")
