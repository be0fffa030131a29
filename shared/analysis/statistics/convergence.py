"""Does one framework need fewer steps to a target than the other? One-sided tests over runs.

MLPerf compares a submission of N runs with a reference of 2 N runs ("reference convergence points",
the program `rcp_checker` of mlcommons/logging). Of each side it drops the fastest and the slowest
run. With the means m, m0 of the rest, their numbers n, n0, and one variance s^2 for both sides,

    t = (m - m0) / sqrt(s^2 (1 / n + 1 / n0)),    n + n0 - 2 degrees of freedom,

and the submission is too fast if the one-sided p value is below 0.05. The variance of what is left
after the extremes are dropped is too small, so that equal sides fail more often than at that level.
`compare_convergence` therefore uses the trimmed form of Yuen (Biometrika 61, 1974), pooled: each
dropped value counts as its neighbour in the sum of squares (winsorised), and

    s^2 = (SSW + SSW0) / (n + n0 - 2).

In 20,000 simulated comparisons of equal sides with normal steps, it calls the candidate faster in
4.4 % (10 runs against 20, and 5 against 10), and MLPerf's form in 8.2 and 10.1 %. The test of this
module repeats this. A run that never reaches the target is the slowest; two of them on a side leave
no mean.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from .uncertainty import SIGNIFICANCE

# With the fastest and the slowest run dropped, a mean and a variance of two runs are left.
MIN_RUNS = 4
# Variance of a rounding to the nearest step. The steps are taken to vary at least as much.
ROUNDING = 1 / 12


class Convergence(NamedTuple):
    """The candidate's steps against those of the reference.

    Attributes:
        candidate: Mean of the candidate's steps without the fastest and the slowest run.
        reference: The same of the reference.
        p_value: One-sided: the chance of a candidate so much faster if both need as many steps.
        largest_speedup: Ratio of the reference's mean to the largest mean of the candidate that
            would be shown to be faster: a speed-up below it may stay unseen.
    """

    candidate: float
    reference: float
    p_value: float
    largest_speedup: float

    @property
    def is_faster(self) -> bool:
        """Return whether the candidate is shown to need fewer steps."""
        return self.p_value < SIGNIFICANCE


class Trimmed(NamedTuple):
    """A side without its extremes: mean, winsorised sum of squares, and the number of runs left."""

    mean: float
    squares: float
    num_runs: int


def trim(steps: Sequence[float]) -> Trimmed | None:
    """Return a side without its fastest and slowest run; None if no mean is left.

    Args:
        steps: Steps to the target of each run; infinite for a run that never reaches it.
    """
    if len(steps) < MIN_RUNS:
        return None
    kept: NDArray[np.float64] = np.sort(np.asarray(steps, dtype=np.float64))[1:-1]
    if not np.isfinite(kept).all():
        return None
    filled = np.concatenate([kept[:1], kept, kept[-1:]])
    squares = float(((filled - filled.mean()) ** 2).sum())
    return Trimmed(float(kept.mean()), squares, len(kept))


def compare_convergence(
    candidate: Sequence[float], reference: Sequence[float]
) -> Convergence | None:
    """Test, one-sided, that the candidate needs fewer steps to the target than the reference.

    Args:
        candidate: Steps to the target of each run of the candidate, for example N runs.
        reference: Those of the reference, for example 2 N runs.

    Returns:
        The comparison; None if a side has fewer than four runs, or two that miss the target.
    """
    one, other = trim(candidate), trim(reference)
    if one is None or other is None:
        return None
    freedom = one.num_runs + other.num_runs - 2
    variance = max((one.squares + other.squares) / freedom, ROUNDING)
    deviation = math.sqrt(variance * (1 / one.num_runs + 1 / other.num_runs))
    reach = float(stdtrit(freedom, 1 - SIGNIFICANCE)) * deviation
    fastest = other.mean - reach
    return Convergence(
        candidate=one.mean,
        reference=other.mean,
        p_value=float(stdtr(freedom, (one.mean - other.mean) / deviation)),
        largest_speedup=other.mean / fastest if fastest > 0 else math.inf,
    )


def steps_to_target(accuracies: Sequence[tuple[float, float]], target: float) -> float:
    """Return the steps after which an accuracy was first reached; infinite if never.

    Args:
        accuracies: Steps so far and validation accuracy, after each epoch.
        target: The accuracy.
    """
    return next((steps for steps, accuracy in accuracies if accuracy >= target), math.inf)
