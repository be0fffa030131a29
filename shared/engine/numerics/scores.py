"""Scores of one class against the rest: a higher score speaks for the class.

Every function about scores takes them as (N,), with the truth as (N,) bool, so that it serves two
classes, one class against the others, and one label of several alike.
"""

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

Scores = NDArray[np.float64]
Truths = NDArray[np.bool_]


def log_odds(logits: NDArray[np.floating], position: int) -> Scores:
    """Return (N,) log-odds of one class against the rest, from logits (N, C).

    They rank images as the probability of the class does, but do not round to 1: for two classes
    they are the difference of the logits.
    """
    if logits.shape[1] == 2:
        values = logits[:, [position, 1 - position]].astype(np.float64)
        return np.asarray(values[:, 0] - values[:, 1])
    return np.asarray(all_log_odds(logits)[:, position])


def all_log_odds(logits: NDArray[np.floating]) -> Scores:
    """Return (N, C) log-odds of each class against the rest, from logits (N, C), C at least 2."""
    values = logits.astype(np.float64)
    rows, best = np.arange(len(values)), values.argmax(axis=1)
    # Less the maximum, so that no exponential overflows.
    shifted = values - values[rows, best][:, None]
    powers = np.exp(shifted)
    others = powers.sum(axis=1, keepdims=True) - powers
    # Without a smaller class at least the 1 of the largest is left. Without the largest one the
    # difference may cancel, so that sum is taken again.
    others[rows, best] = 1.0
    found: Scores = shifted - np.log(others)
    shifted[rows, best] = -np.inf
    largest = shifted.max(axis=1)
    rest = np.log(np.exp(shifted - largest[:, None]).sum(axis=1))
    found[rows, best] = -largest - rest
    return found


def confidence_of(logits: NDArray[np.floating]) -> Scores:
    """Return (N,) log-odds of the most probable class against the rest, from logits (N, C)."""
    return np.asarray(all_log_odds(logits).max(axis=1))


def to_probability(log_odds: float) -> float:
    """Convert log-odds to a probability; neither end overflows."""
    return float(np.exp(-np.logaddexp(0.0, -log_odds)))


def check_scores(scores: NDArray[np.floating], truths: Truths) -> Scores:
    """Return scores (N,) in float64, after comparing them with the truths (N,).

    Raises:
        UsageError: There is none, a score is not finite, or the numbers differ.
    """
    if scores.shape != truths.shape or scores.ndim != 1 or not len(scores):
        raise UsageError(
            f"Got scores of the shape {scores.shape} and truths of the shape {truths.shape}. "
            "Expected (N,) and (N,), with at least one image. Try one class at a time."
        )
    if num_bad := int((~np.isfinite(scores)).sum()):
        raise UsageError(
            f"Got {num_bad:,} of {len(scores):,} scores that are not finite. Expected numbers. "
            "Try training again with a lower learning rate, or in float32."
        )
    return np.asarray(scores, dtype=np.float64)
