"""Metrics of a classifier, once, in NumPy, for both backends. Shares are fractions, 0 to 1."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log of the softmax over the last axis, in float64: (N, C) -> (N, C)."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    values: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values


def average_views(
    logits: NDArray[np.floating], num_views: int, average: str
) -> NDArray[np.floating]:
    """One row an example out of the rows of its crops.

    Args:
        logits: (N * num_views, num_classes), the crops of one example together.
        num_views: Crops of one example.
        average: `logits`, or `softmax`: the logarithm of the mean probability.

    Returns:
        (N, num_classes), of the type of `logits`.
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
    """Metrics of one part.

    Args:
        logits: (N, num_classes).
        labels: (N,).

    Returns:
        `loss` (mean cross-entropy), `accuracy`, `top5_accuracy` (where there are more than five
        classes) and `balanced_accuracy` (mean recall over the classes that occur).
    """
    losses = -log_softmax(logits)[np.arange(len(labels)), labels]
    hits = logits.argmax(axis=1) == labels
    counts = np.bincount(labels, minlength=logits.shape[1])
    recalls = np.bincount(labels, weights=hits, minlength=logits.shape[1])[counts > 0]
    metrics = {
        "loss": float(losses.mean()),
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float((recalls / counts[counts > 0]).mean()),
    }
    if logits.shape[1] > 5:
        metrics["top5_accuracy"] = top_accuracy(logits, labels, 5)
    return metrics


def top_accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64], count: int) -> float:
    """Share of examples whose label is among the `count` largest logits."""
    largest = np.argpartition(-logits, count - 1, axis=1)[:, :count]
    return float((largest == labels[:, None]).any(axis=1).mean())


def wilson_interval(num_hits: int, num_examples: int) -> Interval:
    """Wilson's 95 % interval of a proportion; (0, 1) without examples."""
    if num_examples == 0:
        return Interval(0.0, 1.0)
    share = num_hits / num_examples
    weight = Z_95**2 / num_examples
    centre = (share + weight / 2) / (1 + weight)
    spread = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return Interval(max(centre - spread, 0.0), min(centre + spread, 1.0))
