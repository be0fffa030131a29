"""Losses in PyTorch: per-example values (N,); the caller takes the mean."""

import torch
from torch.nn import functional as F


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log softmax(logits)[label]: logits (N, num_classes), labels (N,) int64 -> (N,)."""
    return F.cross_entropy(logits, labels, reduction="none")
