"""What the statistics claim, against hand calculation and over drawn cases."""

from fractions import Fraction
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poc.shared.analysis.statistics.intervals import (
    area_under_curve,
    combine_p_values,
    confusion_matrix,
    count_pairs,
    holm,
    holm_levels,
    majority_share,
    mcnemar,
    spread,
)

p_values = st.floats(0, 1)


def exact_p_value(only_first: int, only_second: int) -> float:
    """Twice the smaller tail of a fair coin, in whole numbers."""
    total = only_first + only_second
    tail = sum(comb(total, count) for count in range(min(only_first, only_second) + 1))
    return float(min(Fraction(2 * tail, 2**total), Fraction(1)))


def hits(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


def test_spread_by_hand() -> None:
    """Lopsided, so that the median (.72) is not the mean (.79); .0386 / 2 is the variance."""
    assert spread([0.7, 0.72, 0.95]) == (pytest.approx(0.79), pytest.approx(sqrt(0.0193)), 3)
    assert spread([0.5]) == (0.5, None, 1)
    assert spread([1.0, 2.0]).write("{:.1f}") == "1.5 ± 0.7"


def test_mcnemar_by_hand() -> None:
    """Nine against one: 2 * (1 + 10) / 1024."""
    assert mcnemar(*hits(50, 9, 1, 40)) == (9, 1, pytest.approx(22 / 1024))
    assert mcnemar(*hits(50, 0, 0, 40)).p_value == 1.0


@given(*[st.integers(0, 60)] * 4)
def test_mcnemar_is_the_exact_binomial_test(
    both: int, first: int, second: int, neither: int
) -> None:
    test = mcnemar(*hits(both, first, second, neither))
    assert test.p_value == pytest.approx(exact_p_value(first, second), rel=1e-9)
    assert mcnemar(*hits(both, second, first, neither)).p_value == pytest.approx(test.p_value)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(p_values, min_size=1, max_size=8))
def test_holm_is_at_least_p_keeps_the_order_and_at_most_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for value, result in zip(values, adjusted, strict=True):
        assert value <= result <= 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert min(adjusted) == pytest.approx(min(1, len(values) * min(values)))


def test_holm_levels_by_hand() -> None:
    """.01 < .05 / 3 passes, .03 fails at .05 / 2, and .04 is judged at that level too."""
    assert holm_levels([0.01, 0.04, 0.03], 0.05) == pytest.approx([0.05 / 3, 0.025, 0.025])
    assert holm_levels([0.001, 0.02, 0.04], 0.05) == pytest.approx([0.05 / 3, 0.025, 0.05])
    assert holm_levels([], 0.05) == []


@given(st.lists(p_values, max_size=8))
def test_a_p_value_is_below_its_level_exactly_where_holm_shows_it(values: list[float]) -> None:
    for value, adjusted, level in zip(values, holm(values), holm_levels(values, 0.05), strict=True):
        # A tie to the last bit may round either way.
        assert (value < level) == (adjusted < 0.05) or value == pytest.approx(level, rel=1e-12)


def test_combined_p_values_by_hand() -> None:
    assert combine_p_values([0.03]) == 0.03
    assert combine_p_values([0.01, 0.02, 0.9]) == pytest.approx(0.04)
    assert combine_p_values([0.01, 0.9]) == pytest.approx(0.02)
    assert combine_p_values([0.9, 0.8, 0.7]) == 1.0


def test_combined_p_values_keep_their_level_when_tests_are_the_same() -> None:
    """Equal tests, the strongest dependence: 5 % at most."""
    random = np.random.default_rng(0)
    values = [combine_p_values([value] * 3) for value in random.random(2000)]
    assert np.mean(np.array(values) < 0.05) <= 0.05


def test_majority_and_confusion_by_hand() -> None:
    labels = np.array([0, 1, 1, 2, 1], dtype=np.int64)
    assert majority_share(labels) == (1, 0.6)
    predicted = np.array([0, 1, 0, 2, 1], dtype=np.int64)
    expected = [[1, 0, 0], [1, 2, 0], [0, 0, 1]]
    assert confusion_matrix(labels, predicted, 3).tolist() == expected
    assert count_pairs(labels, predicted) == [(0, 0, 1), (1, 0, 1), (1, 1, 2), (2, 2, 1)]


def test_area_under_curve_by_hand() -> None:
    """Of the four pairs of a positive and a negative, three are in order."""
    logits = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0], [0.0, 4.0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1], dtype=np.int64)
    assert area_under_curve(logits, labels) == 0.75
    # What counts is by how much the second logit is larger: the same, on other levels.
    levels = np.array([[9.0], [-9.0], [4.0], [0.0]], dtype=np.float32)
    assert area_under_curve(logits + levels, labels) == 0.75
    assert area_under_curve(logits, np.zeros(4, dtype=np.int64)) is None
    assert area_under_curve(np.zeros((4, 3), dtype=np.float32), labels) is None
