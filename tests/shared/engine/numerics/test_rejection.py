"""Rejection curves by hand and against a loop over the images."""

import numpy as np
import pytest

from poc.shared.engine.numerics.rejection import (
    MIN_ANSWERED,
    confidence_for_accuracy,
    confidence_for_share,
    rejection_curve,
)
from poc.shared.errors import UsageError


def slow_accuracy(confidences, hits, least):
    given = [hit for share, hit in zip(confidences, hits, strict=True) if share >= least]
    return len(given) / len(hits), sum(given) / len(given)


@pytest.mark.parametrize("digits", [1, 6])
def test_each_point_is_that_of_a_loop(digits):
    draw = np.random.default_rng(digits)
    confidences, hits = np.round(draw.random(200), digits), draw.random(200) < 0.7
    curve = rejection_curve(confidences, hits)
    assert curve.confidence.tolist() == sorted(set(confidences.tolist()), reverse=True)
    points = [slow_accuracy(confidences, hits, least) for least in curve.confidence]
    shares, accuracies = zip(*points, strict=True)
    assert curve.answered == pytest.approx(shares, abs=1e-12)
    assert curve.accuracy == pytest.approx(accuracies, abs=1e-12)
    assert (curve.answered[-1], curve.accuracy[-1]) == (1.0, hits.mean())


def test_by_hand():
    """The two surest answers are equal: both are given, or none."""
    curve = rejection_curve(np.array([0.5, 0.9, 0.9, 0.7]), np.array([False, True, False, True]))
    assert curve.answered.tolist() == [0.5, 0.75, 1.0]
    assert curve.accuracy == pytest.approx([0.5, 2 / 3, 0.5])
    assert [curve.accuracy_at(share) for share in (0.01, 0.5, 0.6, 0.75, 1.0)] == pytest.approx(
        [0.5, 0.5, 2 / 3, 2 / 3, 0.5]
    )


def test_a_percent_is_found_in_spite_of_rounding():
    """0.07 x 100 is 7.000000000000001, and must not ask for an eighth image."""
    confidences = np.arange(100, 0, -1) / 100
    hits = np.arange(100) < 7
    assert rejection_curve(confidences, hits).accuracy_at(0.07) == 1.0


def test_one_image_and_equal_confidences():
    curve = rejection_curve(np.array([0.3]), np.array([True]))
    assert (curve.answered.tolist(), curve.accuracy.tolist()) == ([1.0], [1.0])
    curve = rejection_curve(np.full(4, 0.5), np.array([True, False, False, False]))
    assert (curve.answered.tolist(), curve.accuracy.tolist()) == ([1.0], [0.25])


def test_confidences_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="not finite"):
        rejection_curve(np.array([np.nan]), np.array([True]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 6])
def test_the_least_confidence_for_an_accuracy_is_that_of_a_loop(digits, seed):
    """No lower confidence that occurs reaches the accuracy."""
    draw = np.random.default_rng(seed)
    confidences = np.round(draw.random(300), digits)
    hits = draw.random(300) < confidences
    least = confidence_for_accuracy(confidences, hits, 0.8)
    given = confidences >= least
    assert hits[given].mean() >= 0.8
    assert given.sum() >= MIN_ANSWERED
    for lower in confidences[confidences < least]:
        assert hits[confidences >= lower].mean() < 0.8


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_the_least_confidence_for_a_share_answers_no_more_than_it_must(share):
    draw = np.random.default_rng(1)
    confidences = np.round(draw.random(200), 2)
    least = confidence_for_share(confidences, np.ones(200, dtype=bool), share)
    assert (confidences >= least).mean() >= share
    assert (confidences > confidences[confidences >= least].min()).mean() < share


def test_the_least_confidence_lies_between_two_that_occur():
    confidences, hits = np.linspace(0, 1, 101), np.arange(101) >= 40
    assert confidence_for_accuracy(confidences, hits, 0.999) == pytest.approx(0.395, abs=1e-12)


def test_an_accuracy_that_few_answers_reach_is_refused():
    """The 19 surest are right; with the 20th that is not, 0.95 is the best."""
    confidences = np.linspace(1, 0, 100)
    hits = np.arange(100) < MIN_ANSWERED - 1
    with pytest.raises(UsageError, match=r"no 20 or more of the 100 .*the best is 0\.95\)?\."):
        confidence_for_accuracy(confidences, hits, 0.96)
    with pytest.raises(UsageError, match="no 20 or more of the 10 validation images reach"):
        confidence_for_accuracy(confidences[:10], hits[:10], 0.5)


@pytest.mark.parametrize("share", [0, 1, 95, -0.1, np.nan])
def test_a_share_out_of_range_is_refused(share):
    for choose in (confidence_for_accuracy, confidence_for_share):
        with pytest.raises(UsageError, match="above 0 and below 1"):
            choose(np.linspace(0, 1, 50), np.ones(50, dtype=bool), share)
