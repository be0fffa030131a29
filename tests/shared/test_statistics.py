"""What the statistics claim, against hand calculation and over drawn cases."""

from fractions import Fraction
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poc.shared.analysis.statistics import (
    accuracy_interval,
    area_under_curve,
    combine_p_values,
    confusion_matrix,
    count_pairs,
    established_winner,
    holm,
    majority_share,
    mcnemar,
    overlap,
    spread,
)
from poc.shared.engine.metrics import Interval, wilson_interval

fractions = st.floats(0, 1)
# Past 1e-9 a gap is a gap; below it, rounding.
intervals = st.tuples(fractions, fractions).map(lambda ends: Interval(min(ends), max(ends)))
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


def test_interval_of_one_run_is_wilsons() -> None:
    """Wilson for 390 of 624, as in the study: .5864 to .6621."""
    interval = accuracy_interval([390 / 624], 624)
    assert interval == pytest.approx(wilson_interval(390, 624))
    assert interval == pytest.approx((0.5864, 0.6621), abs=1e-4)


def test_interval_over_seeds_by_hand() -> None:
    """Mean .5, median .45, variance .0175; t(2) = 4.3027, and the two parts add as squares."""
    low, high = accuracy_interval([0.4, 0.45, 0.65], 1000)
    wilson = wilson_interval(500, 1000)
    seeds = 4.302652729911275 * sqrt(0.0175) / sqrt(3)
    assert low == pytest.approx(0.5 - sqrt((0.5 - wilson.low) ** 2 + seeds**2))
    assert high == pytest.approx(0.5 + sqrt((wilson.high - 0.5) ** 2 + seeds**2))


@given(st.lists(fractions, min_size=1, max_size=6), st.integers(1, 10_000))
def test_an_interval_holds_its_mean_and_is_no_narrower_than_one_run(
    accuracies: list[float], num_images: int
) -> None:
    low, high = accuracy_interval(accuracies, num_images)
    mean = float(np.mean(accuracies))
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    wilson = wilson_interval(round(mean * num_images), num_images)
    # The count of hits is rounded: half an image either way.
    slack = 0.5 / num_images + 1e-9
    assert low <= max(wilson.low, 0) + slack
    assert high >= min(wilson.high, 1) - slack


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), intervals, min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_a_winner_is_apart_from_all_others_and_ran_more_than_once(
    rows: dict[str, Interval], num_runs: int
) -> None:
    winner = established_winner(rows, dict.fromkeys(rows, num_runs))
    if winner is None:
        return
    assert num_runs >= 2
    assert len(rows) > 1
    for name, interval in rows.items():
        assert name == winner or (
            interval.high < rows[winner].low and not overlap(interval, rows[winner])
        )


@given(st.lists(fractions, min_size=2, max_size=5), st.integers(2, 6), st.integers(10, 5000))
def test_equal_rows_have_no_winner(accuracies: list[float], num_rows: int, num_images: int) -> None:
    interval = accuracy_interval(accuracies, num_images)
    rows = {f"row {index}": interval for index in range(num_rows)}
    assert established_winner(rows, dict.fromkeys(rows, len(accuracies))) is None


def test_a_single_run_beside_others_stops_the_crowning() -> None:
    rows = {"good": Interval(0.9, 0.95), "bad": Interval(0.1, 0.2)}
    assert established_winner(rows, {"good": 3, "bad": 3}) == "good"
    assert established_winner(rows, {"good": 3, "bad": 1}) is None
    assert established_winner(rows, {"good": 1, "bad": 3}) is None


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 5]), st.sampled_from([0.0, 0.01, 0.1]))
def test_noise_alone_crowns_no_more_often_than_it_may(
    seed: int, num_runs: int, seed_deviation: float
) -> None:
    """Eight rows of one and the same true accuracy, 200 studies: a winner in at most 5 %."""
    random = np.random.default_rng(seed)
    num_images, num_crowned = 624, 0
    for _ in range(200):
        true = np.clip(0.8 + seed_deviation * random.standard_normal((8, num_runs)), 0, 1)
        seen = random.binomial(num_images, true) / num_images
        rows = {
            str(index): accuracy_interval(list(row), num_images) for index, row in enumerate(seen)
        }
        num_crowned += established_winner(rows, dict.fromkeys(rows, num_runs)) is not None
    assert num_crowned <= 10


def test_a_real_difference_is_found() -> None:
    """15 points at 624 images, seeds that differ by one point: seen in most of 200 studies."""
    random, num_found = np.random.default_rng(0), 0
    for _ in range(200):
        rows = {}
        for name, accuracy in (("low", 0.70), ("high", 0.85)):
            true = accuracy + 0.01 * random.standard_normal(3)
            rows[name] = accuracy_interval(list(random.binomial(624, true) / 624), 624)
        num_found += established_winner(rows, dict.fromkeys(rows, 3)) == "high"
    assert num_found > 100


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
