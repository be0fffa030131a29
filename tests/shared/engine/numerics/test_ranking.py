"""ROC and precision-recall curves against scikit-learn, by hand, and for degenerate scores."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as roc_of_scikit_learn

from poc.shared.engine.numerics import ranking
from poc.shared.errors import UsageError

ROUNDING = 1e-12


def draw(num_images, digits=6):
    """Scores with ties where they are rounded to few digits, and truths of both kinds."""
    random = np.random.default_rng([num_images, digits])
    truths = random.random(num_images) < 0.3
    truths[:2] = True, False
    return np.round(random.normal(size=num_images) + truths, digits), truths


@pytest.mark.parametrize("digits", [0, 1, 6])
@pytest.mark.parametrize("num_images", [2, 3, 40, 1000])
def test_they_are_those_of_scikit_learn(num_images, digits):
    scores, truths = draw(num_images, digits)
    found = ranking.roc_curve(scores, truths)
    expected = roc_of_scikit_learn(truths, scores, drop_intermediate=False)
    for mine, other in zip(found, expected, strict=True):
        assert mine == pytest.approx(other, abs=ROUNDING)
    area = roc_auc_score(truths, scores)
    assert ranking.place(scores, truths).area == pytest.approx(area, abs=ROUNDING)
    assert auc(found.x, found.y) == pytest.approx(area, abs=ROUNDING)
    curve = ranking.precision_recall_curve(scores, truths)
    precision, recall, thresholds = precision_recall_curve(truths, scores)
    # Scikit-learn's is in the other direction, and ends in a point of its own.
    assert curve.x == pytest.approx(recall[:-1][::-1], abs=ROUNDING)
    assert curve.y == pytest.approx(precision[:-1][::-1], abs=ROUNDING)
    assert curve.thresholds.tolist() == thresholds[::-1].tolist()
    expected = average_precision_score(truths, scores)
    assert ranking.average_precision(curve) == pytest.approx(expected, abs=ROUNDING)


def test_by_hand():
    """From the highest score: a hit, an alarm, then a hit and an alarm of one score."""
    scores, truths = np.array([4.0, 3, 2, 2]), np.array([True, False, True, False])
    curve = ranking.roc_curve(scores, truths)
    assert (curve.x.tolist(), curve.y.tolist()) == ([0, 0, 0.5, 1], [0, 0.5, 0.5, 1])
    assert curve.thresholds.tolist() == [np.inf, 4, 3, 2]
    # Of four pairs, the first hit wins two, the other loses one and ties one.
    places = ranking.place(scores, truths)
    assert places.positive.tolist() == [1.0, 0.25]
    assert places.negative.tolist() == [0.5, 0.75]
    assert places.area == 0.625
    curve = ranking.precision_recall_curve(scores, truths)
    assert ranking.average_precision(curve) == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_equal_scores_say_nothing():
    truths = np.array([True, False, False, False])
    scores = np.zeros(4)
    assert ranking.place(scores, truths).area == 0.5
    assert ranking.roc_curve(scores, truths).x.tolist() == [0, 1]
    curve = ranking.precision_recall_curve(scores, truths)
    assert ranking.average_precision(curve) == 0.25


@pytest.mark.parametrize("truths", [[True], [False], [True, True], [False, False]])
def test_one_class_alone_has_no_curve(truths):
    truths = np.array(truths)
    scores = np.arange(len(truths), dtype=float)
    functions = (ranking.roc_curve, ranking.precision_recall_curve, ranking.place)
    assert [function(scores, truths) for function in functions] == [None] * 3


@pytest.mark.parametrize("name", ["roc_curve", "precision_recall_curve", "place"])
def test_scores_that_are_not_finite_are_refused(name):
    with pytest.raises(UsageError, match="not finite"):
        getattr(ranking, name)(np.array([0.0, np.nan]), np.array([True, False]))


def test_a_thinned_curve_keeps_its_ends_and_its_shape():
    scores, truths = draw(5000)
    curve = ranking.roc_curve(scores, truths)
    thinned = ranking.thin(curve, 100)
    assert len(thinned.x) <= 202 < len(curve.x)
    assert [(own.x[0], own.y[0], own.x[-1], own.y[-1]) for own in (curve, thinned)] == [
        (0, 0, 1, 1)
    ] * 2
    assert auc(thinned.x, thinned.y) == pytest.approx(auc(curve.x, curve.y), abs=0.01)
