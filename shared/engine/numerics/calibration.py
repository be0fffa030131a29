"""Calibration: does an answer of 80 % turn out right in 80 of 100 cases, and can it be mended?

The confidence of an answer is the probability of the class that is answered. Answers are sorted
into 15 bins of equal width, each without its lower end and with its upper one. The expected
calibration error is the mean distance of accuracy and confidence, weighted by the bins' numbers of
images (Naeini et al. 2015).

Temperature scaling (Guo et al. 2017) divides all logits by one number, the temperature, so that the
loss on the validation part is least. It changes no order of classes, and so no answer.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

from .metrics import log_softmax
from .scores import Scores, Truths, check_scores

NUM_BINS = 15
# The search ends where two temperatures differ by less than this share.
PRECISION = 1e-13


class Bins(NamedTuple):
    """Bins of answers by their confidence, (B,) each; means are NaN for a bin without images."""

    counts: NDArray[np.int64]
    confidence: Scores
    accuracy: Scores

    @property
    def calibration_error(self) -> float:
        """Return the expected calibration error."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((gaps * self.counts[filled]).sum() / self.counts.sum())


def reliability_bins(confidences: Scores, hits: Truths, num_bins: int = NUM_BINS) -> Bins:
    """Sort answers into bins of equal width by their confidence.

    Args:
        confidences: (N,), from 0 to 1.
        hits: (N,), True for right answers; for one class, True for its images.
        num_bins: Number of bins, B.

    Raises:
        UsageError: A confidence is not finite.
    """
    known = check_scores(confidences, hits)
    inner = np.linspace(0, 1, num_bins + 1)[1:-1]
    places = np.searchsorted(inner, known, side="left")
    counts = np.bincount(places, minlength=num_bins)
    sums = (np.bincount(places, weights=own, minlength=num_bins) for own in (known, hits))
    blank = np.full(num_bins, np.nan)
    means = (np.divide(own, counts, out=blank.copy(), where=counts > 0) for own in sums)
    return Bins(counts, *means)


def confidences_of(logits: NDArray[np.floating]) -> Scores:
    """Return the probability (N,) of the class that is answered, from logits (N, C)."""
    return np.asarray(np.exp(log_softmax(logits).max(axis=1)))


def calibration_error(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the expected calibration error of logits (N, C) for labels (N,).

    Raises:
        UsageError: A logit is not finite.
    """
    hits = np.asarray(logits.argmax(axis=1) == labels)
    return reliability_bins(confidences_of(logits), hits).calibration_error


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float | None:
    """Return the temperature at which the mean cross-entropy is least.

    The loss is convex in the inverse temperature b. Its slope, the mean over images of (expected
    logit under the softmax of b x logits) - (logit of the label), rises with b and is 0 once.

    Args:
        logits: (N, C).
        labels: (N,).

    Returns:
        The temperature, or None if there is no best one: all answers are right, so that the loss
        falls for ever with b; or logits do not favour the labels, so that it rises from b = 0 on.

    Raises:
        UsageError: A logit is not finite.
    """
    from scipy.optimize import brentq

    values = np.asarray(logits, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise UsageError(
            f"Got logits of the shape {values.shape} that are not finite, or none at all. "
            "Expected finite logits (N, C). Try training again with a lower learning rate."
        )
    # Logits of an image may be shifted freely; relative to the label's the slope is one mean.
    values = values - values[np.arange(len(labels)), labels][:, None]
    if (values <= 0).all() or values.mean() >= 0:
        return None
    low = high = 1.0
    while slope(values, low) > 0:
        low /= 2
    while slope(values, high) < 0:
        high *= 2
    if low == high:
        return low
    # In logarithms, so that the precision is a share of the temperature.
    ends = math.log(low), math.log(high)
    found = brentq(lambda log: slope(values, math.exp(log)), *ends, xtol=PRECISION)
    return math.exp(-found)


def slope(values: NDArray[np.float64], scale: float) -> float:
    """Return the derivative of the loss by the inverse temperature, at `scale`.

    Args:
        values: (N, C) logits, less the label's logit.
        scale: Inverse temperature.
    """
    shares = np.exp(log_softmax(scale * values))
    return float((shares * values).sum(axis=1).mean())
