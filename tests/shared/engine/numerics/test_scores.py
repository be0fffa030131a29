"""Scores of one class against the rest, from logits."""

import numpy as np
import pytest

from poc.shared.engine.numerics.metrics import log_softmax
from poc.shared.engine.numerics.scores import (
    all_log_odds,
    check_scores,
    log_odds,
    to_probability,
)
from poc.shared.errors import UsageError


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_log_odds_are_those_of_the_softmax(num_classes):
    logits = np.random.default_rng(0).normal(size=(50, num_classes)) * 3
    shares = np.exp(log_softmax(logits))
    for place in range(num_classes):
        expected = np.log(shares[:, place] / (1 - shares[:, place]))
        assert log_odds(logits, place) == pytest.approx(expected, rel=1e-9)


def test_they_order_images_whose_probability_rounds_to_one():
    logits = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, 1e4]], dtype=np.float32)
    assert np.exp(log_softmax(logits))[:, 1].tolist() == [1.0, 1.0, 1.0]
    assert log_odds(logits, 1).tolist() == [50.0, 60.0, 1e4]
    assert log_odds(np.array([[1e4, 0.0, 0.0]]), 0) == pytest.approx(1e4 - np.log(2))


def test_all_classes_at_once_are_each_by_itself():
    """Against a sum over the other classes, also where one class has nearly everything."""
    logits = np.random.default_rng(0).normal(size=(40, 5)) * 20
    found = all_log_odds(logits)
    for place in range(5):
        others = np.delete(logits, place, axis=1)
        expected = logits[:, place] - np.logaddexp.reduce(others, axis=1)
        assert found[:, place] == pytest.approx(expected, rel=1e-12)
        assert log_odds(logits, place).tolist() == found[:, place].tolist()
    assert all_log_odds(np.zeros((1, 3))) == pytest.approx(np.log(0.5))


def test_a_probability_of_log_odds():
    assert to_probability(0.0) == 0.5
    assert to_probability(np.log(3)) == pytest.approx(0.75)
    assert (to_probability(-1e9), to_probability(1e9)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "truths", "words"),
    [
        ([0.0, np.nan], [True, False], r"^Got 1 of 2 scores that are not finite"),
        ([0.0, np.inf], [True, False], r"^Got 1 of 2 scores that are not finite"),
        ([], [], r"^Got scores of the shape \(0,\)"),
        ([0.0, 1.0], [True], r"^Got scores of the shape \(2,\) and truths of the shape \(1,\)"),
        ([[0.0, 1.0]], [[True, False]], r"^Got scores of the shape \(1, 2\)"),
    ],
)
def test_other_scores_are_refused(scores, truths, words):
    with pytest.raises(UsageError, match=words):
        check_scores(np.array(scores), np.array(truths, dtype=bool))
