"""Calibration error against a slow reference and scikit-learn; temperatures against a search."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from poc.shared.engine.numerics.calibration import (
    NUM_BINS,
    calibration_error,
    confidences_of,
    fit_temperature,
    reliability_bins,
)
from poc.shared.engine.numerics.metrics import log_softmax
from poc.shared.errors import UsageError


def slow_error(confidences, hits, num_bins):
    """Naeini's sum, bin by bin and image by image; each bin excludes its lower end, but for 0."""
    total = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        own = [
            (share, hit)
            for share, hit in zip(confidences, hits, strict=True)
            if (low < share <= high) or (index == 0 and share == 0)
        ]
        if own:
            gap = math.fsum(hit for _, hit in own) - math.fsum(share for share, _ in own)
            total += abs(gap)
    return total / len(confidences)


@pytest.mark.parametrize("num_bins", [1, 10, NUM_BINS])
@pytest.mark.parametrize("num_images", [1, 9, 600])
def test_the_error_is_the_slow_one(num_images, num_bins):
    draw = np.random.default_rng([num_images, num_bins])
    confidences = draw.random(num_images)
    hits = draw.random(num_images) < confidences**2
    found = reliability_bins(confidences, hits, num_bins)
    expected = slow_error(confidences, hits, num_bins)
    assert found.calibration_error == pytest.approx(expected, abs=1e-12)
    assert found.counts.sum() == num_images


def test_the_bins_are_those_of_scikit_learn():
    """Ties at the edges of bins included."""
    draw = np.random.default_rng(0)
    confidences = np.concatenate([draw.random(300), np.arange(11) / 10, [0.0, 1.0]])
    hits = draw.random(len(confidences)) < 0.5
    found = reliability_bins(confidences, hits, 10)
    accuracy, confidence = calibration_curve(hits, confidences, n_bins=10)
    filled = found.counts > 0
    assert found.accuracy[filled] == pytest.approx(accuracy, abs=1e-12)
    assert found.confidence[filled] == pytest.approx(confidence, abs=1e-12)


def test_by_hand():
    """Two answers of 0.9, one right; two of 0.6, both right: (0.4 + 0.4) / 2."""
    logits = np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]))
    assert calibration_error(logits, np.array([0, 0, 0, 1])) == pytest.approx(0.4, abs=1e-12)
    assert confidences_of(logits) == pytest.approx([0.9, 0.9, 0.6, 0.6])
    bins = reliability_bins(confidences_of(logits), np.array([True, False, True, True]))
    assert np.isnan(bins.accuracy).sum() == np.isnan(bins.confidence).sum() == NUM_BINS - 2


def loss(logits, labels, temperature):
    shares = np.exp(log_softmax(logits / temperature))
    return log_loss(labels, shares, labels=range(logits.shape[1]))


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("spread", [0.05, 1.0, 30.0])
def test_the_temperature_has_the_least_loss(spread, num_classes):
    """Against scipy's search on the loss of scikit-learn, for sure and for unsure networks."""
    draw = np.random.default_rng(num_classes)
    labels = draw.integers(0, num_classes, 400)
    logits = draw.normal(size=(400, num_classes))
    logits[np.arange(400), labels] += 1.0
    logits *= spread
    found = fit_temperature(logits, labels)
    search = minimize_scalar(
        lambda log: loss(logits, labels, math.exp(log)), bounds=(-6, 6), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert found == pytest.approx(math.exp(search.x), rel=1e-5)
    assert loss(logits, labels, found) <= loss(logits, labels, 1.0) + 1e-12
    assert loss(logits, labels, found) <= search.fun + 1e-12


def test_the_temperature_of_logits_that_were_multiplied():
    """Exactly: the mean logit of the label equals the expected one at the temperature."""
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(300, 4)), draw.integers(0, 4, 300)
    logits[np.arange(300), labels] += 2
    base = fit_temperature(logits, labels)
    for factor in (1e-3, 7.0, 1e4):
        assert fit_temperature(logits * factor, labels) == pytest.approx(base * factor, rel=1e-11)
    shares = np.exp(log_softmax(logits / base))
    gap = (shares * logits).sum(axis=1).mean() - logits[np.arange(300), labels].mean()
    assert abs(gap) < 1e-11


def test_two_classes_by_hand():
    """Three of four images are right with equal logits: sigmoid(margin / T) must be 3/4."""
    logits = np.array([[0.0, 5.0]] * 4)
    found = fit_temperature(logits, np.array([1, 1, 1, 0]))
    assert found == pytest.approx(5 / math.log(3), rel=1e-12)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([[0.0, 1.0], [3.0, 0.0]], [1, 0]),
        ([[0.0, 1e4], [1e4, 0.0]], [1, 0]),
        ([[0.0, 1.0]], [1]),
        ([[0.0, 1.0], [0.0, 1.0]], [0, 1]),
        ([[0.0, 0.0], [0.0, 0.0]], [0, 1]),
        ([[0.0, 1.0], [3.0, 0.0]], [0, 1]),
    ],
    ids=["all right", "surely right", "one image", "as often wrong", "equal", "all wrong"],
)
def test_without_a_best_temperature_there_is_none(logits, labels):
    assert fit_temperature(np.array(logits), np.array(labels)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(value):
    logits, labels = np.array([[0.0, value], [0.0, 1.0]]), np.array([0, 1])
    with pytest.raises(UsageError, match="not finite"):
        fit_temperature(logits, labels)
    with np.errstate(invalid="ignore"), pytest.raises(UsageError, match="not finite"):
        calibration_error(logits, labels)
