"""The report's side of the answers: rates on the first screen, curves, tables and CSV files."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from poc.shared.analysis.report.page import read_study as read
from poc.shared.analysis.report.page import write_report, write_study
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.tests.shared.actions.test_calibrate import calibrate, draw_answers, make_trained
from poc.tests.shared.analysis.report.test_page import make_run, read_page
from poc.tests.shared.analysis.runs.test_two_classes import make_row, write_answers


def report(output, *folders, positive=None):
    study = read(list(folders), positive)
    return write_study(study, output, title="A study", command="poc report")


@pytest.fixture
def row(tmp_path):
    """A row of two runs, and their answers."""
    return make_row(tmp_path / "runs")


def test_the_second_sentence_has_both_rates_with_intervals(row, tmp_path):
    result = report(tmp_path / "report", tmp_path / "runs")
    found = result["headline"][1]
    labels = row[0][1]
    for name, place in (("Sensitivity", 1), ("specificity", 0)):
        shares = [(own.argmax(axis=1)[labels == place] == place).mean() for own, _ in row]
        count = int((labels == place).sum())
        low, high = wilson_interval(np.mean(shares) * count, count)
        assert f"{np.mean(shares):.3f} ({low:.3f} to {high:.3f})" in found, name
    assert found.startswith("Sensitivity for “ill”: ")
    page = read_page(tmp_path / "report" / "report.html")
    # On the page it comes before the first table.
    assert page.text.index(found) < page.text.index("Table 1")
    assert found in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_positive_class_is_the_named_one(row, tmp_path):
    first = report(tmp_path / "one", tmp_path / "runs")["headline"][1]
    other = report(tmp_path / "two", tmp_path / "runs", positive="healthy")["headline"][1]
    assert other.startswith("Sensitivity for “healthy”: ")
    rates = [re.findall(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", text) for text in (first, other)]
    assert rates[0] == rates[1][::-1]


def test_a_threshold_is_reported_beside_the_more_probable_class(tmp_path):
    calibrate(make_trained(tmp_path / "runs" / "run"), sensitivity=0.95)
    result = report(tmp_path / "report", tmp_path / "runs")
    assert "the answer is the more probable class" in result["headline"][1]
    found = result["headline"][2]
    assert found.startswith("With p ≥ ")
    rates = pd.read_csv(tmp_path / "report" / "rates.csv")
    assert len(rates) == 2
    assert rates["sensitivity"][1] > rates["sensitivity"][0]
    # The accuracy of the first sentence is not that of the threshold.
    assert rates["accuracy"][1] < rates["accuracy"][0]
    for name in ("sensitivity", "specificity", "accuracy"):
        assert f"{name} {rates[name][1]:.3f}" in found
    page = read_page(tmp_path / "report" / "report.html").text
    assert "diamonds: answers with the chosen threshold" in page
    assert "with the temperature" in page


def test_a_stale_decision_is_a_finding(tmp_path):
    run = make_trained(tmp_path / "runs" / "run")
    calibrate(run, sensitivity=0.95)
    RunFolder(run).best.write_bytes(b"other weights")
    result = report(tmp_path / "report", tmp_path / "runs")
    assert not any("chosen on validation" in text for text in result["headline"])
    assert any(
        text.startswith("A decision is not used: Got") and "other weights" in text
        for text in result["findings"]
    )


def test_more_classes_have_no_rates(tmp_path):
    make_row(tmp_path / "runs", names=["a", "b", "c"])
    result = report(tmp_path / "report", tmp_path / "runs")
    assert not any("ensitivity" in text for text in result["headline"])
    page = read_page(tmp_path / "report" / "report.html").text
    assert "ROC curves, one class against the rest" in page
    assert "Sensitivity and specificity" not in page
    assert pd.read_csv(tmp_path / "report" / "rates.csv").empty


def test_any_number_of_labels_is_explained_on_the_first_screen(tmp_path):
    """Accuracy is then of whole sets of labels, which its number does not say."""
    make_run(tmp_path / "runs" / "run", class_names=["a", "b"], num_images=4)
    folder = RunFolder(tmp_path / "runs" / "run")
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    logits = np.array([[1.0, -1.0], [2.0, -3.0], [-1.0, -2.0], [-2.0, 1.0]])
    folder.write_predictions(logits, labels, ["w", "x", "y", "z"])
    figures = {"test_accuracy": 0.75, "test_label_accuracy": 0.875, "test_area_under_roc": 0.875}
    folder.write_summary(folder.read_summary() | figures)
    result = report(tmp_path / "report", tmp_path / "runs")
    assert result["headline"][1] == (
        "An image counts as right only with every label right; 0.875 of the single answers are "
        "right; the mean area under ROC of a label is 0.875."
    )
    page = read_page(tmp_path / "report" / "report.html").text
    assert "ROC curves, one label against its absence" in page


def test_classes_csv_has_the_figures_of_scikit_learn(tmp_path):
    (answers,) = make_row(tmp_path / "runs", names=["a", "b", "c"], num_seeds=1)
    report(tmp_path / "report", tmp_path / "runs")
    frame = pd.read_csv(tmp_path / "report" / "classes.csv")
    logits, labels = answers
    expected = precision_recall_fscore_support(labels, logits.argmax(axis=1))
    assert frame["class"].tolist() == ["a", "b", "c"]
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert frame[name].to_numpy() == pytest.approx(values, abs=1e-12)
    rows = pd.read_csv(tmp_path / "report" / "rows.csv")
    assert rows["test_macro_f1_mean"][0] == pytest.approx(expected[2].mean())


def test_the_csv_files_add_up(row, tmp_path):
    report(tmp_path / "report", tmp_path / "runs")
    bins = pd.read_csv(tmp_path / "report" / "reliability.csv")
    assert len(bins) == 15
    assert bins["answers"].sum() == 600
    gaps = (bins["accuracy"] - bins["mean_confidence"]).abs() * bins["answers"]
    assert 0 < gaps.sum() / 600 < 1
    rejection = pd.read_csv(tmp_path / "report" / "rejection.csv")
    assert len(rejection) == 2 * 100
    last = rejection[rejection["answered"] == 1.0]["accuracy"].tolist()
    assert last == pytest.approx([(own.argmax(1) == labels).mean() for own, labels in row])


def test_of_many_classes_the_least_ones_are_shown(tmp_path):
    names = [f"breed {index}" for index in range(30)]
    make_run(tmp_path / "runs" / "0", class_names=names, num_images=600)
    logits, labels = draw_answers(600, 0.5, 3, num_classes=30)
    logits[:, 7] = -20
    logits[labels == 7] = np.eye(30)[8] * 20
    write_answers(tmp_path / "runs" / "0", logits, labels)
    report(tmp_path / "report", tmp_path / "runs")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    table = markdown[markdown.index("## Classes") : markdown.index("## Confusion matrices")]
    assert table.count("| breed ") == 20
    assert "| breed 7 | - | 0.0000 | 0.0000 |" in table
    assert table.index("| breed 7 |") < table.index("| breed 8 |")
    assert "ROC curves" not in markdown
    assert len(pd.read_csv(tmp_path / "report" / "classes.csv")) == 30


def test_degenerate_answers_are_reported(tmp_path):
    """One test image; one class alone; equal scores for all; a class that never occurs."""
    cases = {
        "one image": (np.array([[0.0, 1.0]]), np.array([1])),
        "one class": (np.random.default_rng(0).normal(size=(30, 2)), np.zeros(30, dtype=np.int64)),
        "equal": (np.zeros((30, 2)), np.arange(30) % 2),
    }
    for name, (logits, labels) in cases.items():
        make_run(tmp_path / name / "run", class_names=["healthy", "ill"])
        write_answers(tmp_path / name / "run", logits, labels)
        result = report(tmp_path / f"{name} report", tmp_path / name)
        assert any("ensitivity" in text for text in result["headline"]), name
    assert "specificity -;" in report(tmp_path / "again", tmp_path / "one image")["headline"][1]


def test_a_page_of_a_former_run_needs_none_of_the_new_columns(tmp_path):
    """`make_run` writes a summary as former versions did."""
    run = make_run(tmp_path / "runs" / "0")
    assert "test_macro_f1" not in RunFolder(run).read_summary()
    write_report([run], tmp_path / "report", title="A study", command="poc report")
    rows = pd.read_csv(tmp_path / "report" / "rows.csv")
    assert 0 < rows["test_macro_f1_mean"][0] < 1
    assert 0 < rows["test_expected_calibration_error_mean"][0] < 1


def test_of_rows_of_equal_accuracy_the_rates_are_of_the_calibrated_one(tmp_path):
    """The other one comes first in the tables, and would be named without its threshold."""
    calibrate(make_trained(tmp_path / "runs" / "a"), sensitivity=0.95)
    make_run(tmp_path / "runs" / "b", k=1, class_names=["healthy", "ill"])
    write_answers(tmp_path / "runs" / "b", *draw_answers(600, 0.3, 1))
    headline = report(tmp_path / "report", tmp_path / "runs")["headline"]
    assert "shares the highest mean" in headline[0]
    assert "Sensitivity of k=3" in headline[1]
    assert headline[2].startswith("With p ≥ ")
