"""Metrics by hand, and Wilson's interval against published numbers."""

import math

import numpy as np
import pytest

from poc.shared.engine.folder.loop_state import LoopState, Sums, selection_score
from poc.shared.engine.numerics.metrics import (
    average_views,
    classification_metrics,
    log_softmax,
    top_accuracy,
    wilson_interval,
)
from poc.shared.spec.training.stopping import EarlyStoppingSpec


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


def partition_as_promised(values, kth, axis):
    """NumPy's argpartition with nothing in order that its page does not promise.

    On some processors it happens to sort more than it says, and hides a wrong place.
    """
    order = np.argsort(values, axis=axis)
    sides = (order[:, :kth][:, ::-1], order[:, kth : kth + 1], order[:, kth + 1 :][:, ::-1])
    return np.concatenate(sides, axis=1)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_top_accuracy_of_many_classes_counts_the_larger_logits(count, monkeypatch):
    """A label is among the largest where fewer than `count` logits are larger."""
    monkeypatch.setattr("poc.shared.engine.numerics.metrics.np.argpartition", partition_as_promised)
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(400, 200)), draw.integers(0, 200, 400)
    # Near the border, where one place more or less shows.
    labels[:300] = np.argsort(-logits[:300], axis=1)[:, count - 1 + np.arange(300) % 2].diagonal()
    larger = (logits > logits[np.arange(400), labels][:, None]).sum(axis=1)
    expected = np.mean(larger < count)
    assert 0.3 < expected < 0.7
    assert top_accuracy(logits, labels, count) == expected


def test_views_of_an_example_are_averaged_as_logits_or_as_probabilities():
    """Two crops that answer 9 to 1 and 1 to 3: the mean of .9 and .25 is .575."""
    logits = np.log(np.array([[0.9, 0.1], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]]))
    softmax = np.exp(average_views(logits, 2, "softmax"))
    assert softmax == pytest.approx(np.array([[0.575, 0.425], [0.5, 0.5]]))
    means = average_views(logits, 2, "logits")
    assert means[0] == pytest.approx([np.log(0.9 * 0.25) / 2, np.log(0.1 * 0.75) / 2])
    assert average_views(logits, 1, "softmax") is logits
    for average in ("softmax", "logits"):
        assert average_views(logits.astype(np.float32), 2, average).dtype == np.float32


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


def test_wilson_stays_a_share_where_rounding_would_leave_it():
    """At the ends the formula gives 0 and 1 exactly; in floating point a little less or more."""
    found = [
        (wilson_interval(0, count).low, wilson_interval(count, count).high)
        for count in range(1, 500)
    ]
    assert all(low >= 0 and high <= 1 for low, high in found)
    assert found == pytest.approx(np.tile([0.0, 1.0], (499, 1)))


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


def judge(state, losses, **stopping):
    """What is said of each epoch, and the factor of the rate after it."""
    spec, said = EarlyStoppingSpec(metric="val/loss", **stopping), []
    for loss in losses:
        state.epoch += 1
        is_best = state.judge({"val/loss": loss}, spec)
        said.append((is_best, state.best_epoch, state.epochs_without_improvement))
        said[-1] += (pytest.approx(state.rate_factor),)
    return said


def test_a_plateau_reduces_the_rate_and_counts_anew():
    """Two epochs without improvement halve the rate; patience counts on, the plateau anew."""
    losses = [1.0, 0.5, 0.6, 0.5, 0.7, 0.8, 0.4, 0.4]
    assert judge(LoopState(), losses, reduce_patience=2, reduce_factor=0.5) == [
        (True, 1, 0, 1.0),
        (True, 2, 0, 1.0),
        (False, 2, 1, 1.0),
        (False, 2, 2, 0.5),
        (False, 2, 3, 0.5),
        (False, 2, 4, 0.25),
        (True, 7, 0, 0.25),
        (False, 7, 1, 0.25),
    ]


def test_without_patience_for_plateaus_the_rate_stays():
    assert judge(LoopState(), [1.0, 2.0, 3.0])[-1] == (False, 1, 2, 1.0)


def test_a_first_epoch_that_is_not_a_number_is_the_best_until_one_is():
    said = judge(LoopState(), [math.nan, math.nan, 3.0])
    assert [(is_best, best) for is_best, best, *_ in said] == [(True, 1), (False, 1), (True, 3)]


def test_without_validation_the_latest_epoch_is_the_best():
    state, spec = LoopState(), EarlyStoppingSpec(metric="val/loss")
    for epoch in (1, 2):
        state.epoch = epoch
        assert state.judge({"train/loss": 1.0}, spec)
        assert state.best_epoch == epoch
