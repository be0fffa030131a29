"""Rates at a threshold, and its choice: by hand, by trying all, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.engine.numerics.thresholds import (
    RATES,
    AnswerCounts,
    threshold_for_costs,
    threshold_for_sensitivity,
)
from poc.shared.errors import UsageError


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_scikit_learn(seed):
    truths, answers = np.random.default_rng(seed).random((2, 60)) < 0.4
    counts = AnswerCounts.of(answers, truths)
    expected = {
        "sensitivity": recall_score(truths, answers),
        "specificity": recall_score(~truths, ~answers),
        "ppv": precision_score(truths, answers),
        "npv": precision_score(~truths, ~answers),
    }
    assert {name: counts.rate(name).value for name in RATES} == pytest.approx(expected, abs=1e-12)
    assert counts.accuracy == pytest.approx((truths == answers).mean(), abs=1e-12)


def test_rates_by_hand():
    """81 of 263 and 15 of 148: the intervals of Newcombe (1998), table I, method 3."""
    counts = AnswerCounts(81, 133, 182, 15)
    found = counts.describe()
    assert found["sensitivity"] == pytest.approx(81 / 263)
    assert (found["sensitivity_low"], found["sensitivity_high"]) == pytest.approx(
        (0.2553, 0.3662), abs=5e-5
    )
    assert found["specificity"] == pytest.approx(15 / 148)
    assert (found["specificity_low"], found["specificity_high"]) == pytest.approx(
        (0.0624, 0.1605), abs=5e-5
    )
    assert counts.rate("ppv") == pytest.approx((81 / 214, *wilson_interval(81, 214)))
    assert counts.rate("npv") == pytest.approx((15 / 197, *wilson_interval(15, 197)))


def test_a_share_of_nothing_has_no_value():
    counts = AnswerCounts.of(np.array([False]), np.array([False]))
    assert counts.rate("sensitivity") == (None, 0.0, 1.0)
    assert counts.rate("ppv") == (None, 0.0, 1.0)
    assert counts.rate("specificity").value == counts.rate("npv").value == 1.0


def draw(seed, num_images=40, digits=1):
    random = np.random.default_rng(seed)
    truths = random.random(num_images) < 0.4
    truths[:2] = True, False
    return np.round(random.normal(size=num_images) + truths, digits), truths


def cuts(scores):
    """A threshold in each gap of the scores, below all and above all."""
    values = np.unique(scores)
    return [values[0] - 1, *(values[:-1] + values[1:]) / 2, values[-1] + 1]


@pytest.mark.parametrize("sensitivity", [0.05, 0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("seed", range(8))
def test_the_highest_threshold_that_is_sensitive_enough(seed, sensitivity):
    scores, truths = draw(seed)
    found = threshold_for_sensitivity(scores, truths, sensitivity)
    shares = {cut: (scores[truths] >= cut).mean() for cut in cuts(scores)}
    best = max(cut for cut, share in shares.items() if share >= sensitivity)
    assert ((scores >= found) == (scores >= best)).all()


@pytest.mark.parametrize("count", [20, 40, 60, 100, 1000])
def test_a_share_that_is_reached_exactly_is_enough(count):
    """0.95 of 20 is 19, which 0.95 * 20 misses by rounding in some counts."""
    scores = np.arange(count, dtype=float)
    found = threshold_for_sensitivity(scores, np.ones(count, dtype=bool), 0.95)
    assert (scores >= found).sum() == round(0.95 * count)


def test_a_threshold_is_halfway_to_the_next_score():
    scores, truths = np.array([1.0, 2, 4, 8]), np.array([False, True, False, True])
    assert threshold_for_sensitivity(scores, truths, 0.5) == 6.0
    assert threshold_for_sensitivity(scores, truths, 0.9) == 1.5
    # Below the lowest score there is no other.
    assert threshold_for_sensitivity(scores, ~truths, 0.9) == 1.0
    # No number is between these two.
    near = np.array([1.0, np.nextafter(1.0, 2)])
    assert threshold_for_sensitivity(near, np.array([False, True]), 0.5) == near[1]


@pytest.mark.parametrize("costs", [(1, 1), (1, 9), (9, 1), (0.2, 3), (1, 1000), (1000, 1)])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_costs_less(seed, costs):
    scores, truths = draw(seed)

    def cost(cut):
        answers = scores >= cut
        return costs[0] * (answers & ~truths).sum() + costs[1] * (~answers & truths).sum()

    found = threshold_for_costs(scores, truths, *costs)
    assert cost(found) == min(cost(cut) for cut in cuts(scores))


def test_of_equal_costs_the_calibrated_threshold_is_the_nearest():
    """Between 0 and 8 all are right; the middle of each gap is a candidate, and 0 is wanted."""
    scores, truths = np.array([-3.0, -1.0, 8.0, 9.0]), np.array([False, False, True, True])
    assert threshold_for_costs(scores, truths, 1, 1) == 3.5
    # Two alarms or one miss cost 2; log(1 / 2) = -0.69 is nearer to -2 than to 1.75.
    scores, truths = np.array([-3.0, -1, 0, 0.5, 3]), np.array([0, 1, 0, 0, 1], dtype=bool)
    assert threshold_for_costs(scores, truths, 1, 2) == -2.0
    # All answers cost the same at equal scores: the wanted log-odds decide between the ends.
    scores, truths = np.zeros(2), np.array([True, False])
    assert threshold_for_costs(scores, truths, 1, 1) == 0.0


def test_one_class_alone():
    scores, all_negative = np.array([0.0, 1.0]), np.zeros(2, dtype=bool)
    with pytest.raises(UsageError, match="Got no positive image"):
        threshold_for_sensitivity(scores, all_negative, 0.9)
    assert threshold_for_costs(scores, all_negative, 1, 1) > 1.0
    assert threshold_for_costs(scores, ~all_negative, 1, 1) <= 0.0


@pytest.mark.parametrize("sensitivity", [0.0, 1.0, -1.0, 1.5, np.nan])
def test_a_sensitivity_out_of_range_is_refused(sensitivity):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        threshold_for_sensitivity(*draw(0), sensitivity)


@pytest.mark.parametrize("costs", [(0, 1), (1, 0), (-1, 1), (np.inf, 1), (1, np.nan)])
def test_costs_out_of_range_are_refused(costs):
    with pytest.raises(UsageError, match="two numbers above 0"):
        threshold_for_costs(*draw(0), *costs)


def test_scores_that_are_not_finite_are_refused():
    scores, truths = np.array([0.0, np.nan]), np.array([True, False])
    with pytest.raises(UsageError, match="not finite"):
        threshold_for_sensitivity(scores, truths, 0.5)
    with pytest.raises(UsageError, match="not finite"):
        threshold_for_costs(scores, truths, 1, 1)
