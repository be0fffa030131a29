"""Heads that are fitted to features, in plain NumPy: what scikit-learn's solution must fulfil."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.tests.reference.layers import cross_entropy

Array = NDArray[Any]


def logistic_loss(features: Array, labels: Array, kernel: Array, bias: Array, c: float) -> float:
    """sum_i -log softmax(z_i W + b)[label_i] + |W|^2 / (2 C), the bias without a penalty."""
    logits = features @ kernel + bias
    total = cross_entropy(logits, labels).sum() + (kernel * kernel).sum() / (2 * c)
    return float(total)


def logistic_gradient(
    features: Array, labels: Array, kernel: Array, bias: Array, c: float
) -> tuple[Array, Array]:
    """The gradient of that loss with respect to kernel and bias; 0 at the solution."""
    logits = features @ kernel + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    error = shares - np.eye(kernel.shape[1])[labels]
    return features.T @ error + kernel / c, error.sum(axis=0)
