"""Rejection curves by hand and against a loop over the images."""

import numpy as np
import pytest

from poc.shared.engine.numerics.rejection import rejection_curve
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
