"""Means of paired differences, with Student's interval and test.

A unit is a set of hyper-parameters, or a seed. With n differences of mean m and variance s^2,
m / sqrt(s^2 / n) has Student's distribution with n - 1 degrees of freedom if the mean is 0 (Student
1908). The variance is at least that of half an image, so that equal differences are no certainty.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from poc.shared.engine.numerics.metrics import Interval

from .uncertainty import CONTINUITY, SIGNIFICANCE


class PairedMean(NamedTuple):
    """A mean of differences; the interval and the p value are None for fewer than two."""

    mean: float
    interval: Interval | None
    p_value: float | None
    num_units: int


def paired_mean(differences: Sequence[float], num_images: int) -> PairedMean:
    """Return the mean of at least one difference, its 95 % interval and two-sided p value.

    Args:
        differences: One per unit, independent of each other.
        num_images: Number of test images behind each difference.
    """
    count, mean = len(differences), float(np.mean(differences))
    if count < 2:
        return PairedMean(mean, None, None, count)
    variance = max(float(np.var(differences, ddof=1)), CONTINUITY / num_images**2)
    deviation = math.sqrt(variance / count)
    reach = float(stdtrit(count - 1, 1 - SIGNIFICANCE / 2)) * deviation
    p_value = 2 * float(stdtr(count - 1, -abs(mean) / deviation))
    return PairedMean(mean, Interval(mean - reach, mean + reach), min(p_value, 1.0), count)
