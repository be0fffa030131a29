"""Means of paired differences: by hand, against SciPy, and their error rate."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from poc.shared.analysis.statistics.paired import paired_mean


def test_by_hand():
    """1, 2 and 6: the mean is 3, the variance 7, and t(2) at 97.5 % is 4.3027."""
    found = paired_mean([1.0, 2.0, 6.0], 1000)
    assert (found.mean, found.num_units) == (3.0, 3)
    reach = 4.302652730 * (7 / 3) ** 0.5
    assert found.interval == pytest.approx((3 - reach, 3 + reach), rel=1e-9)


def test_it_is_students_test():
    values = np.random.default_rng(1).normal(0.02, 0.1, 40)
    assert paired_mean(values, 10_000).p_value == pytest.approx(ttest_1samp(values, 0).pvalue)


def test_equal_differences_are_no_certainty():
    """Two differences of one image of 100 have the variance of half an image at least."""
    found = paired_mean([0.01, 0.01], 100)
    assert found.p_value == pytest.approx(ttest_1samp([0.005, 0.015], 0).pvalue * 1.0, abs=0.2)
    assert found.p_value > 0.05
    assert paired_mean([0.0, 0.0, 0.0], 100).p_value == 1.0


def test_a_single_unit_has_no_interval():
    assert paired_mean([0.3], 100) == (0.3, None, None, 1)


def test_it_errs_in_a_twentieth_of_equal_pairs():
    random = np.random.default_rng(0)
    draws = random.normal(size=(4000, 10))
    rate = np.mean([paired_mean(row, 10_000).p_value < 0.05 for row in draws])
    # Three standard errors of 4,000 draws.
    assert rate == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 4000) ** 0.5)
