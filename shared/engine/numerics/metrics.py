"""Metrics of a classifier in NumPy, the same for both backends. Shares are from 0 to 1."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .answers import answer, judge
from .class_metrics import class_figures

# The 97.5 % quantile of the normal distribution: 2.5 % are left out on each side.
Z_95 = 1.959963984540054
# Shares other than the accuracy -> their titles in tables for the terminal.
SHARES: Mapping[str, str] = MappingProxyType(
    {
        "top5_accuracy": "top-5 accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "label_accuracy": "accuracy over labels",
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


def probabilities(logits: NDArray[np.floating], *, is_multi_label: bool) -> NDArray[np.float64]:
    """Return (N, C) probabilities: those of classes sum to 1, those of labels need not."""
    if is_multi_label:
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits.astype(np.float64))))
    return np.asarray(np.exp(log_softmax(logits)))


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
        labels: (N,); or (N, num_classes), 1 for each label: see `label_metrics`.

    Returns:
        `loss` (mean cross-entropy), `accuracy`, `balanced_accuracy` (mean recall over the classes
        that occur), `macro_f1` (mean F1 over the classes that occur or are answered) and
        `top5_accuracy` (with more than five classes).
    """
    if labels.ndim == 2:
        return label_metrics(logits, labels)
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


def label_metrics(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return the metrics of images with any number of labels.

    Args:
        logits: (N, num_classes); a label is answered if its logit is above 0.
        labels: (N, num_classes), 1 for each label that an image has.

    Returns:
        `loss` (mean binary cross-entropy), `accuracy` (share of images with every label right),
        `label_accuracy` (share of right answers over images and labels), `balanced_accuracy` (mean
        over the labels of sensitivity and specificity, as far as they are defined) and `macro_f1`
        (mean F1 over the labels that occur or are answered).
    """
    x, predicted = logits.astype(np.float64), answer(logits, is_multi_label=True)
    losses = np.maximum(x, 0) - x * labels + np.log1p(np.exp(-np.abs(x)))
    found, absent = (
        class_figures(each, own, logits.shape[1]).recall
        for each, own in ((labels, predicted), (1 - labels, 1 - predicted))
    )
    return {
        "loss": float(losses.mean()),
        "accuracy": float(judge(predicted, labels).mean()),
        "label_accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.nanmean(np.stack([found, absent]))),
        # Without any label, none of which is answered, every answer is right.
        "macro_f1": macro_f1_of(labels, predicted),
    }


def macro_f1_of(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the macro F1 of sets of labels (N, C); 1 if there is no label and none is answered."""
    if not labels.any() and not predicted.any():
        return 1.0
    return class_figures(labels, predicted, labels.shape[1]).macro_f1


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
