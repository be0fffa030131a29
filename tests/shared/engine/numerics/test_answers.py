"""Answers for one class per image and for any number of labels, and their metrics."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    hamming_loss,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from poc.shared.engine.numerics.answers import (
    answer,
    judge,
    right_answers,
    scores_of,
    truths_of,
)
from poc.shared.engine.numerics.class_metrics import class_figures
from poc.shared.engine.numerics.metrics import classification_metrics, probabilities
from poc.shared.engine.summary.answer_columns import describe_answers, describe_classes

ROUNDING = 1e-12
draw = np.random.default_rng(0)
LOGITS = 2 * draw.normal(size=(60, 4))
SETS = draw.integers(0, 2, (60, 4))
ANSWERS = (LOGITS > 0).astype(np.int64)


def test_by_hand():
    logits = np.array([[1.0, -2.0], [3.0, 4.0], [-1.0, -1.0]])
    assert answer(logits, is_multi_label=False).tolist() == [0, 1, 0]
    assert answer(logits, is_multi_label=True).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert right_answers(logits, np.array([0, 0, 0])).tolist() == [True, False, True]
    sets = np.array([[1, 0], [1, 0], [0, 0]])
    assert right_answers(logits, sets).tolist() == [True, False, True]
    assert judge(sets, sets).all()
    assert truths_of(np.array([2, 0, 2]), 2).tolist() == [True, False, True]
    assert truths_of(sets, 0).tolist() == [True, True, False]
    assert scores_of(logits, 1, is_multi_label=True).tolist() == [-2.0, 4.0, -1.0]
    # Of two classes the log-odds are the difference.
    assert scores_of(logits, 1, is_multi_label=False).tolist() == [-3.0, 1.0, 0.0]


def test_probabilities():
    logits = np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]])
    found = probabilities(logits, is_multi_label=True)
    assert found == pytest.approx(np.array([[0.5, 0.75], [1.0, 0.0]]))
    assert probabilities(logits, is_multi_label=False) == pytest.approx(
        np.array([[0.25, 0.75], [1.0, 0.0]])
    )


def test_metrics_are_those_of_scikit_learn():
    found = classification_metrics(LOGITS, SETS)
    shares = probabilities(LOGITS, is_multi_label=True)
    losses = [log_loss(SETS[:, label], shares[:, label]) for label in range(4)]
    balanced = [balanced_accuracy_score(SETS[:, x], ANSWERS[:, x]) for x in range(4)]
    assert found == pytest.approx(
        {
            "loss": np.mean(losses),
            "accuracy": accuracy_score(SETS, ANSWERS),
            "label_accuracy": 1 - hamming_loss(SETS, ANSWERS),
            "balanced_accuracy": np.mean(balanced),
            "macro_f1": f1_score(SETS, ANSWERS, average="macro"),
        },
        abs=ROUNDING,
    )


def test_figures_of_each_label_are_those_of_scikit_learn():
    found = class_figures(SETS, ANSWERS, 4)
    expected = precision_recall_fscore_support(SETS, ANSWERS)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert getattr(found, name) == pytest.approx(values, abs=ROUNDING), name
    rows = describe_classes(LOGITS, SETS, "abcd")
    assert [row["class"] for row in rows] == list("abcd")
    assert [row["f1"] for row in rows] == pytest.approx(list(expected[2]), abs=ROUNDING)


def test_area_is_the_mean_over_labels_that_have_one():
    sets = SETS.copy()
    expected = roc_auc_score(sets, LOGITS, average=None)
    found = describe_answers(LOGITS, sets, "abcd")
    assert found == {"area_under_roc": pytest.approx(np.mean(expected), abs=ROUNDING)}
    # Every image has the first label: it ranks nothing.
    sets[:, 0] = 1
    assert describe_answers(LOGITS, sets, "abcd")["area_under_roc"] == pytest.approx(
        np.mean(expected[1:]), abs=ROUNDING
    )
    assert describe_answers(LOGITS, np.ones_like(sets), "abcd")["area_under_roc"] is None


def test_no_label_anywhere():
    nothing = np.zeros((3, 2), dtype=np.int64)
    found = classification_metrics(np.full((3, 2), -5.0), nothing)
    assert found["accuracy"] == found["macro_f1"] == found["label_accuracy"] == 1
    wrong = classification_metrics(np.array([[5.0, -5.0]] * 3), nothing)
    assert (wrong["accuracy"], wrong["macro_f1"], wrong["balanced_accuracy"]) == (0, 0, 0.5)


def test_logits_of_any_size_have_a_finite_loss():
    found = classification_metrics(np.array([[1e4, -1e4]]), np.array([[0, 0]]))
    assert found["loss"] == pytest.approx(5e3)
