"""The rule of the rate finder: rates, smoothing, divergence, range, by hand and on a parabola."""

import math

import numpy as np
import pytest

from poc.shared.engine.numerics.rate_curve import (
    half_window,
    has_diverged,
    join_ranges,
    no_range,
    plan_rates,
    smooth,
    suggest_range,
)


def test_rates_rise_by_a_constant_factor():
    assert plan_rates(1e-6, 10.0, 8) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10])


def test_the_window_is_a_share_of_the_steps():
    assert [half_window(count) for count in (20, 100, 200)] == [1, 4, 8]


def test_smoothing_by_hand():
    # One step to either side; at the ends there is only one neighbour.
    assert smooth([1.0, 4.0, 7.0, 1.0], 1).tolist() == [2.5, 4.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, math.nan], True),
        ([math.inf], True),
        ([2.0, 90.0], False),
        # The lowest mean of two is 1; four times as much is not yet too much.
        ([2.0, 1.0, 1.0, 4.0, 4.0], False),
        ([2.0, 1.0, 1.0, 4.0, 4.1], True),
        ([2.0, 1.0, 1.0, 7.0, 0.9], False),
    ],
)
def test_divergence_by_hand(losses, expected):
    assert has_diverged(losses, 2) is expected


def curve_of(*corners, num_steps=71):
    """Rates of 1e-6 to 10, ten a decade, and losses on straight lines between (exponent, loss)."""
    rates = plan_rates(1e-6, 10.0, num_steps)
    exponents, losses = zip(*corners, strict=True)
    return rates, np.interp(np.log10(rates), exponents, losses).tolist()


def test_the_range_by_hand():
    """Flat to 1e-4, steep to 1e-3, flatter to 1e-1, then up: fastest just after 1e-4."""
    rates, losses = curve_of((-6, 2), (-4, 2), (-3, 1), (-1, 0.5), (0, 3), (1, 9))
    found = suggest_range(rates, losses, 1, is_diverged=True)
    # The window is a step wide, so that a corner moves by no more than two steps of 26 %.
    assert 1e-4 <= found["steepest"] <= 1e-3
    assert found["lowest"] == pytest.approx(0.1, rel=0.3)
    assert (found["low"], found["high"]) == (found["steepest"], 0.1 * found["lowest"])
    assert found["reason"] == ""


def test_a_fall_that_ends_steeply_turns_the_range_round():
    rates, losses = curve_of((-6, 2), (-2, 1.9), (-1.5, 1), (-1, 0.9), (0, 5), (1, 9))
    found = suggest_range(rates, losses, 1, is_diverged=True)
    assert found["steepest"] > 0.1 * found["lowest"]
    assert (found["low"], found["high"]) == (0.1 * found["lowest"], found["steepest"])


def test_a_fall_just_before_the_end_is_not_in_the_range():
    """The steepest place is a step before the lowest one: the range ends at a third of its rate."""
    rates, losses = curve_of((-6, 2), (-1.2, 1.5), (-1, 0.5), (0, 5), (1, 9))
    found = suggest_range(rates, losses, 1, is_diverged=True)
    assert found["lowest"] == pytest.approx(0.1, rel=0.3)
    assert found["high"] <= found["lowest"] / 3
    assert 0 < found["low"] < found["high"]


def test_a_sweep_that_begins_too_high_has_no_range():
    rates = plan_rates(0.05, 10.0, 100)
    losses = np.interp(np.log10(rates), [-1.3, -0.9, 0, 1], [2, 1, 3, 9]).tolist()
    assert "too close" in suggest_range(rates, losses, 4, is_diverged=True)["reason"]


@pytest.mark.parametrize(
    ("corners", "is_diverged", "words"),
    [
        (((-6, 2), (-3, 1), (1, 0.5)), False, "still falls"),
        (((-6, 2), (1, 9)), True, "does not fall"),
        (((-6, 2), (1, 2)), False, "does not fall"),
    ],
)
def test_a_curve_without_a_fall_or_an_end_has_no_range(corners, is_diverged, words):
    found = suggest_range(*curve_of(*corners), 2, is_diverged=is_diverged)
    assert found == no_range(found["reason"])
    assert words in found["reason"]


def test_noise_is_no_fall():
    """Of sweeps in which the rate changes nothing at most 1 % get a range."""
    for num_steps in (50, 100):
        rates, found = plan_rates(1e-6, 10.0, num_steps), 0
        for seed in range(400):
            losses = np.random.default_rng(seed).normal(2.0, 0.2, num_steps).tolist()
            one = suggest_range(rates, losses, half_window(num_steps), is_diverged=False)
            found += one["low"] is not None
        assert found <= 4


def test_losses_that_diverge_at_once():
    assert "diverges" in suggest_range([1, 2, 3], [1.0, 2.0], 1, is_diverged=True)["reason"]
    assert suggest_range([1, 2, 3], [], 1, is_diverged=True)["low"] is None


def test_a_parabola_keeps_its_range_below_the_rate_that_diverges():
    """Gradient descent on w^2 / 2 moves w to (1 - rate) w: it converges below 2, best at 1."""
    rates, weight, losses = plan_rates(1e-4, 100.0, 100), 3.0, []
    for rate in rates:
        losses.append(1 + weight**2 / 2)
        if has_diverged(losses, 4):
            break
        weight *= 1 - rate
    found = suggest_range(rates, losses, 4, is_diverged=True)
    assert losses[-1] > 4
    assert 0.3 < found["lowest"] < 8
    assert found["high"] < 2
    assert 0 < found["low"] < found["high"]


def test_the_common_range_lies_in_both():
    first = {**no_range(""), "low": 1.0, "high": 4.0, "steepest": 1.0, "lowest": 40.0}
    second = {**no_range(""), "low": 2.0, "high": 5.0, "steepest": 2.0, "lowest": 50.0}
    both = join_ranges([first, second])
    assert (both["low"], both["high"], both["reason"]) == (2.0, 4.0, "")
    apart = join_ranges([first, {**second, "low": 4.5}])
    assert (apart["low"], "overlap" in apart["reason"]) == (None, True)
    assert join_ranges([first, no_range("it never falls")]) == no_range("it never falls")
