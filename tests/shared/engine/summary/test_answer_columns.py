"""Columns about the answers: calibration, rates of two classes, figures of each class."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from poc.shared.analysis.tables.decisions import evaluation_table, write_answers
from poc.shared.analysis.tables.terminal import comparison_table
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.engine.summary.answer_columns import (
    describe_answers,
    describe_classes,
    find_positive,
)
from poc.shared.engine.summary.row import prefix_columns
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import RUN, train

NAMES = ["healthy", "ill"]
# Three of four ill images are found, and one of two healthy ones.
LOGITS = np.array([[0.0, 1], [0, 2], [0, 3], [1, 0], [2, 0], [0, 1]])
LABELS = np.array([1, 1, 1, 1, 0, 0])


def test_two_classes_by_hand():
    found = describe_answers(LOGITS, LABELS, NAMES)
    assert found["positive_class"] == "ill"
    assert (found["sensitivity"], found["specificity"]) == (0.75, 0.5)
    assert (found["sensitivity_low"], found["sensitivity_high"]) == wilson_interval(3, 4)
    assert (found["ppv"], found["npv"]) == (0.75, 0.5)
    assert found["area_under_roc"] == roc_auc_score(LABELS, LOGITS[:, 1] - LOGITS[:, 0])
    assert found["expected_calibration_error"] == calibration_error(LOGITS, LABELS)


def test_the_other_class_swaps_the_rates():
    found = describe_answers(LOGITS, LABELS, NAMES, 0)
    assert found["positive_class"] == "healthy"
    assert (found["sensitivity"], found["specificity"]) == (0.5, 0.75)
    expected = describe_answers(LOGITS, LABELS, NAMES)["area_under_roc"]
    assert found["area_under_roc"] == expected


def test_more_classes_have_the_calibration_alone():
    logits = np.random.default_rng(0).normal(size=(20, 3))
    found = describe_answers(logits, np.arange(20) % 3, ["a", "b", "c"])
    assert found.keys() == {"expected_calibration_error"}


def test_one_class_alone_has_no_area():
    found = describe_answers(LOGITS[:4], LABELS[:4], NAMES)
    assert (found["area_under_roc"], found["specificity"]) == (None, None)
    assert found["sensitivity"] == 0.75


def test_logits_that_are_not_finite_have_no_figures():
    assert describe_answers(np.array([[0.0, np.nan]]), np.array([0]), NAMES) == {}


def test_figures_of_classes_are_json():
    found = describe_classes(LOGITS, LABELS, NAMES)
    assert found[1] == {
        "class": "ill", "precision": 0.75, "recall": 0.75, "f1": 0.75, "support": 4,
    }  # fmt: skip
    assert describe_classes(LOGITS[:1], LABELS[:1], NAMES)[0]["recall"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_positive_class_is_found():
    assert (find_positive(NAMES, None), find_positive(NAMES, "healthy")) == (1, 0)
    with pytest.raises(UsageError, match="Expected a class of the run, 'healthy' or 'ill'"):
        find_positive(NAMES, "il")
    with pytest.raises(UsageError, match="Got a run of 3 classes"):
        find_positive(["a", "b", "c"], None)


def test_a_comparison_shows_the_rates_of_two_classes():
    row = {"backend": "tf", "test_accuracy": 0.5}
    row |= prefix_columns(describe_answers(LOGITS, LABELS, NAMES))
    table = comparison_table([row])
    cells = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    low, high = wilson_interval(3, 4)
    assert cells["sensitivity"] == f"0.750 ({low:.3f} to {high:.3f})"
    assert cells["positive class"] == "ill"
    assert "expected calibration error" in cells
    more = {"backend": "tf", "test_accuracy": 0.5, "test_expected_calibration_error": 0.1}
    shown = comparison_table([more]).columns[0].cells
    assert "sensitivity" not in list(shown)


def test_an_evaluation_shows_them_too():
    lines = write_answers(describe_answers(LOGITS[:4], LABELS[:4], NAMES))
    assert lines["positive class"] == "ill"
    assert (lines["specificity"], lines["area under ROC"]) == ("-", "-")
    result = {
        "part": "test", "images": 4, "size": [8, 8], "crops": 1, "average": None, "hits": 3,
        "accuracy": 0.75, "accuracy_low": 0.3, "accuracy_high": 0.95, "loss": 0.4,
        "latency_seconds": 0.01, "embedding": {"mean": 0.0, "deviation": 1.0, "zero_share": 0.0},
        **describe_answers(LOGITS, LABELS, NAMES),
    }  # fmt: skip
    assert "sensitivity" in list(evaluation_table(result).columns[0].cells)


def test_a_trained_run_has_the_columns(tmp_path):
    train(tmp_path / "run", RUN)
    row = RunFolder(tmp_path / "run").read_summary()
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        error = calibration_error(file["logits"], file["labels"])
    assert row["test_expected_calibration_error"] == error
    assert 0 <= row["test_macro_f1"] <= 1
    assert "test_sensitivity" not in row
