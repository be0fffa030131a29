"""Metrics of a classifier in NumPy, the same for both backends. Shares are from 0 to 1."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .class_metrics import class_figures

# The 97.5 % quantile of the normal distribution: 2.5 % are left out on each side.
Z_95 = 1.959963984540054
# Shares other than the accuracy -> their titles in tables for the terminal.
SHARES: Mapping[str, str] = MappingProxyType(
    {
        "top5_accuracy": "top-5 accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
    }
)


class Interval(NamedTuple):
    """A 95 % interval of a share."""

    low: float
    high: float


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log of the softmax over the last axis, in float64: (N, C) -> (N, C)."""
    # Less the maximum, so that no exponential overflows.
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    values: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values


def average_views(
    logits: NDArray[np.floating], num_views: int, average: str
) -> NDArray[np.floating]:
    """Average the rows of each example's crops into one row per example.

    Args:
        logits: (N * num_views, num_classes), with the crops of an example next to each other.
        num_views: Crops per example.
        average: `logits`, or `softmax`: the logarithm of the mean probability.

    Returns:
        (N, num_classes), in the dtype of `logits`.
    """
    if num_views == 1:
        return logits
    grouped = logits.reshape(-1, num_views, logits.shape[1])
    if average == "logits":
        return np.asarray(grouped.mean(axis=1), dtype=logits.dtype)
    logs = log_softmax(grouped)
    return np.asarray(np.logaddexp.reduce(logs, axis=1) - math.log(num_views), dtype=logits.dtype)


def classification_metrics(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> dict[str, float]:
    """Return the metrics of one part of the data.

    Args:
        logits: (N, num_classes).
        labels: (N,).

    Returns:
        `loss` (mean cross-entropy), `accuracy`, `balanced_accuracy` (mean recall over the classes
        that occur), `macro_f1` (mean F1 over the classes that occur or are answered) and
        `top5_accuracy` (with more than five classes).
    """
    losses = -log_softmax(logits)[np.arange(len(labels)), labels]
    predicted = logits.argmax(axis=1)
    figures = class_figures(labels, predicted, logits.shape[1])
    metrics = {
        "loss": float(losses.mean()),
        "accuracy": float((predicted == labels).mean()),
        # A class without examples has no recall, and would turn the mean into NaN.
        "balanced_accuracy": float(figures.recall[figures.support > 0].mean()),
        "macro_f1": figures.macro_f1,
    }
    if logits.shape[1] > 5:
        # With five classes or fewer, every label is among the top five.
        metrics["top5_accuracy"] = top_accuracy(logits, labels, 5)
    return metrics


def top_accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64], count: int) -> float:
    """Return the share of labels (N,) among the `count` largest of logits (N, num_classes)."""
    largest = np.argpartition(-logits, count - 1, axis=1)[:, :count]
    return float((largest == labels[:, None]).any(axis=1).mean())


def wilson_interval(num_hits: float, num_examples: float) -> Interval:
    """Return Wilson's 95 % interval of a proportion (Wilson 1927); (0, 1) without examples.

    Means of several runs on the same examples need not be integers.
    """
    if num_examples == 0:
        return Interval(0.0, 1.0)
    share = num_hits / num_examples
    weight = Z_95**2 / num_examples
    centre = (share + weight / 2) / (1 + weight)
    spread = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    # Rounding can push a bound past 0 or 1 by the last digit.
    return Interval(max(centre - spread, 0.0), min(centre + spread, 1.0))
