"""Metrics by hand, and Wilson's interval against published numbers."""

import math

import numpy as np
import pytest

from poc.shared.engine.loop_state import Sums, selection_score
from poc.shared.engine.metrics import (
    classification_metrics,
    log_softmax,
    top_accuracy,
    wilson_interval,
)


def test_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    labels = np.array([0, 1, 1, 2])
    found = classification_metrics(logits, labels)
    expected = -(math.log(0.7) + math.log(0.8) + math.log(0.3) + math.log(0.7)) / 4
    assert found["loss"] == pytest.approx(expected, rel=1e-12)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert "top5_accuracy" not in found


def test_a_class_that_does_not_occur_is_left_out_of_the_balanced_accuracy():
    logits = np.eye(3)[[0, 0, 1]]
    assert classification_metrics(logits, np.array([0, 1, 1]))["balanced_accuracy"] == 0.75


def test_top_accuracy():
    logits = np.array([[5.0, 4, 3, 2, 1, 0, -1]] * 3)
    assert top_accuracy(logits, np.array([4, 5, 0]), 5) == pytest.approx(2 / 3)
    assert classification_metrics(logits, np.array([4, 5, 0]))["top5_accuracy"] == (
        pytest.approx(2 / 3)
    )


def test_large_logits_do_not_overflow():
    values = log_softmax(np.array([[1e4, 0.0], [-1e4, 0.0]], dtype=np.float32))
    assert values == pytest.approx(np.array([[0, -1e4], [-1e4, 0]]))


def test_float32_logits_are_judged_in_float64():
    logits = np.array([[20.0, 0.0]], dtype=np.float32)
    found = classification_metrics(logits, np.array([0]))["loss"]
    assert found == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits, count, low, high):
    found = wilson_interval(hits, count)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_wilson_without_examples_and_at_the_ends():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(10, 10).high == pytest.approx(1.0)
    assert wilson_interval(0, 10).low == 0.0


def test_means_of_an_epoch_are_weighted_by_examples():
    sums = Sums()
    sums.add({"loss": 1.0, "accuracy": 0.5, "count": 30.0}, 3)
    sums.add({"loss": 3.0, "accuracy": 1.0, "count": 10.0}, 4)
    assert sums.means() == {"loss": 1.5, "accuracy": 0.625}
    assert sums.steps == 4


@pytest.mark.parametrize(
    ("metrics", "metric", "score"),
    [
        ({"val/loss": 0.25}, "val/loss", -0.25),
        ({"val/accuracy": 0.25}, "val/accuracy", 0.25),
        ({}, "val/loss", math.inf),
        ({"val/loss": math.nan}, "val/loss", -math.inf),
    ],
)
def test_a_score_is_to_be_maximised_and_a_nan_is_the_worst(metrics, metric, score):
    assert selection_score(metrics, metric) == score
