"""The comparison of steps to a target: by hand, its refusals, and its error rates."""

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind_from_stats

from poc.shared.analysis.statistics.convergence import (
    compare_convergence,
    steps_to_target,
    trim,
)


def test_trimmed_by_hand():
    """2, 4, 6, 8 and 50: 4, 6 and 8 are left; 4, 4, 6, 8, 8 have the sum of squares 16."""
    assert trim([50, 2, 8, 4, 6]) == (6.0, 16.0, 3)


def test_compared_by_hand():
    """Means 6 and 10, sums of squares 16 and 16 of 3 runs each: s^2 = 8, t = -4 / sqrt(16 / 3)."""
    found = compare_convergence([2, 4, 6, 8, 50], [6, 8, 10, 12, 99])
    statistic = -4 / (8 * (1 / 3 + 1 / 3)) ** 0.5
    assert (found.candidate, found.reference) == (6.0, 10.0)
    assert found.p_value == pytest.approx(student.cdf(statistic, 4), rel=1e-12)
    limit = 10 - student.ppf(0.95, 4) * (16 / 3) ** 0.5
    assert found.largest_speedup == pytest.approx(10 / limit, rel=1e-12)
    assert found.is_faster == (limit > 6.0)


def test_a_candidate_at_the_limit_has_the_level():
    """The largest speed-up that may stay unseen is the one whose p value is 0.05."""
    reference = [9.0, 10.0, 10.5, 11.0, 12.0, 13.0]
    first = compare_convergence(reference, reference)
    mean = first.reference / first.largest_speedup
    shifted = [value - first.reference + mean for value in reference]
    assert compare_convergence(shifted, reference).p_value == pytest.approx(0.05, rel=1e-9)


def test_one_run_may_miss_the_target_and_two_may_not():
    good = [4.0, 5.0, 5.0, 6.0, 7.0]
    assert compare_convergence([*good, math.inf], good) is not None
    assert compare_convergence([*good, math.inf, math.inf], good) is None
    assert compare_convergence([4.0, 5.0, 6.0], good) is None


def test_equal_epochs_are_no_certainty():
    """All runs need the same epoch: a variance of 0 would show any difference."""
    found = compare_convergence([5, 5, 5, 5], [5, 5, 5, 5, 5, 5, 5, 5])
    assert found.p_value == 0.5
    assert found.largest_speedup > 1


def test_steps_to_a_target():
    curve = [(10, 0.5), (20, 0.7), (30, 0.65), (40, 0.8)]
    assert steps_to_target(curve, 0.65) == 20
    assert steps_to_target(curve, 0.81) == math.inf


def rcp_check(candidate, reference):
    """MLPerf's form: plain variances (n) of what is left, pooled."""
    one, other = np.sort(candidate)[1:-1], np.sort(reference)[1:-1]
    found = ttest_ind_from_stats(
        *(one.mean(), one.std(), len(one)), *(other.mean(), other.std(), len(other))
    )
    return (found.pvalue / 2 if found.statistic < 0 else 1 - found.pvalue / 2) < 0.05


@pytest.mark.parametrize("runs", [5, 10])
def test_error_rates(runs):
    """Equal sides: at most a twentieth is called faster, and more by MLPerf's form."""
    random, draws = np.random.default_rng(0), 2000
    counts = np.zeros(2)
    for _ in range(draws):
        sides = random.normal(100, 10, runs), random.normal(100, 10, 2 * runs)
        counts += compare_convergence(*sides).is_faster, rcp_check(*sides)
    ours, theirs = counts / draws
    # Three standard errors above the level.
    assert ours < 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    assert theirs > 0.065


def test_a_true_speedup_is_found():
    """10 runs that need 85 steps of 100 (deviation 10) are nearly always called faster."""
    random = np.random.default_rng(0)
    found = [
        compare_convergence(random.normal(85, 10, 10), random.normal(100, 10, 20)).is_faster
        for _ in range(300)
    ]
    assert np.mean(found) > 0.9
