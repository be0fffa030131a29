"""Losses of the labels in plain NumPy, one example at a time, from the formulas.

Everything works on complex logits too, so that a derivative is the imaginary part of a value at a
complex step, and that of a gradient a row of the Hessian: exact to rounding. Options have the names
of the settings `loss`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

STEP = 1e-30


def log_softmax(row: Any) -> Any:
    shifted = row - max(row.real)
    return shifted - np.log(sum(np.exp(shifted)))


def hard_loss(logits: Any, labels: Any, **options: Any) -> Any:
    """The loss of a batch, as it is defined: sum(w_i l_i) / sum(w_i), or the mean of soft ones."""
    values, divisor = weighted(logits, labels, **options), len(labels)
    if labels.ndim == 1:
        divisor = sum(weights_of(logits, options.get("class_weights"))[label] for label in labels)
    return sum(values) / divisor if divisor else 0.0


def shares(logits: Any, labels: Any, **options: Any) -> Any:
    """One number per example, whose mean is the loss of the batch."""
    divisor = 1.0
    if labels.ndim == 1:
        weights = weights_of(logits, options.get("class_weights"))
        divisor = sum(weights[label] for label in labels) / len(labels)
    return np.array(weighted(logits, labels, **options)) / (divisor or 1.0)


def weighted(logits: Any, labels: Any, *, name: str = "cross_entropy", **options: Any) -> Any:
    """w_i l_i of every example."""
    functions = {
        "cross_entropy": cross_entropy,
        "focal": focal,
        "binary_cross_entropy": binary_cross_entropy,
    }
    function = functions[name]
    return [function(row, label, **options) for row, label in zip(logits, labels, strict=True)]


def weights_of(logits: Any, class_weights: Sequence[float] | None) -> Any:
    return np.ones(logits.shape[1]) if class_weights is None else np.array(class_weights)


def cross_entropy(
    row: Any,
    label: Any,
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """-sum_c w_c y_c log p_c of one example, y smoothed: (1 - e) y + e / K."""
    logs, num_classes = log_softmax(row), len(row)
    total = 0.0
    for position in range(num_classes):
        own = label[position] if np.ndim(label) else float(position == label)
        target = (1 - label_smoothing) * own + label_smoothing / num_classes
        weight = 1.0 if class_weights is None else class_weights[position]
        total = total - weight * target * logs[position]
    return total


def focal(
    row: Any,
    label: Any,
    *,
    class_weights: Sequence[float] | None = None,
    focal_gamma: float = 2.0,
) -> Any:
    """-w_y (1 - p)^gamma log p of one example (arXiv 1708.02002, eq. 5)."""
    log_p = log_softmax(row)[label]
    weight = 1.0 if class_weights is None else class_weights[label]
    return weight * (-np.expm1(log_p)) ** focal_gamma * -log_p


def binary_cross_entropy(row: Any, label: Any) -> Any:
    """The mean over the labels of -y log s(x) - (1 - y) log(1 - s(x)), s the sigmoid."""
    terms = [
        own * log_one_plus_exp(-x) + (1 - own) * log_one_plus_exp(x)
        for x, own in zip(row, label, strict=True)
    ]
    return sum(terms) / len(terms)


def log_one_plus_exp(x: Any) -> Any:
    return np.log(1 + np.exp(x)) if x.real < 0 else x + np.log(1 + np.exp(-x))


def gradient(logits: Any, labels: Any, **options: Any) -> Any:
    """Of the loss of a batch on its logits, written out by hand: hard labels, no smoothing.

    With c = -log p the focal loss is (1 - e^-c)^gamma c, of slope
    (1 - e^-c)^gamma (1 + gamma c / (e^c - 1)).
    """
    weights = weights_of(logits, options.get("class_weights"))
    gamma = options.get("focal_gamma", 2.0) if options.get("name") == "focal" else 0.0
    rows = []
    for row, label in zip(logits, labels, strict=True):
        logs = log_softmax(row)
        c, to_logits = -logs[label], np.exp(logs)
        to_logits[label] = to_logits[label] - 1
        slope = (-np.expm1(-c)) ** gamma * (1 + gamma * c / np.expm1(c)) if gamma else 1.0
        rows.append(weights[label] * slope * to_logits)
    return np.array(rows) / sum(weights[label] for label in labels)


def curvature(logits: Any, labels: Any, direction: Any, **options: Any) -> Any:
    """The Hessian of the loss of a batch times a direction."""
    moved = logits + 1j * STEP * direction
    return gradient(moved, labels, **options).imag / STEP
