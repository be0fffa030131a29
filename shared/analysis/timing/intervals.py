"""Ratios of times with 95 % intervals, over processes or rounds.

A ratio's interval comes from processes, not from steps of one process, because steps of a process
share its memory layout and the state of the machine at that time. It is Student's t interval of the
mean log ratio. Files of former formats have the interval that their format asks for.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from poc.shared.engine.timing.bench_file import BOOTSTRAP_FORMAT, FORMAT, UNSEALED_FORMAT, MeanRatio

# Returns the 95 % interval of the mean of (n,) values.
Interval = Callable[[NDArray[np.float64]], tuple[float, float]]
CONFIDENCE, NUM_RESAMPLES = 0.95, 4000


def mean_ratio(ratios: Sequence[float], interval: Interval) -> MeanRatio:
    """Return the geometric mean of ratios, one per process or round, with its 95 % interval."""
    logs = np.log(ratios)
    low, high = interval(logs)
    return {"ratio": math.exp(logs.mean()), "low": math.exp(low), "high": math.exp(high)}


def student_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of `values`, (n,); infinite for one value."""
    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    tail = float(t.ppf((1 + CONFIDENCE) / 2, count - 1))
    mean, half = float(values.mean()), tail * float(values.std(ddof=1)) / math.sqrt(count)
    return mean - half, mean + half


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values`, (n,), by the rule of former formats.

    The rule is the expanded percentile bootstrap (Hesterberg 2015, `What teachers should know about
    the bootstrap`, section 5.3). Its interval ends at the least and the largest value, so that it
    is too narrow for few values.
    """
    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    tail = float(t.ppf((1 - CONFIDENCE) / 2, count - 1)) * math.sqrt(count / (count - 1))
    share = float(norm.cdf(tail))
    picks = np.random.default_rng(0).integers(0, count, (NUM_RESAMPLES, count))
    low, high = np.quantile(values[picks].mean(axis=1), [share, 1 - share])
    return float(low), float(high)


# Format of a bench file -> the rule by which its intervals are derived.
INTERVALS: Mapping[str, Interval] = {
    FORMAT: student_interval,
    BOOTSTRAP_FORMAT: bootstrap_interval,
    UNSEALED_FORMAT: bootstrap_interval,
}
