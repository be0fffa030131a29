"""Results of calls: what a run folder holds, as pandas shows it."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from poc.shared.api.results import Comparison, RunResult, probability_frame
from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.faults.test_resume import RUN, train


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run of the stub on the embedded images."""
    row = train(tmp_path_factory.mktemp("result") / "run", RUN)
    return RunResult.of_row(row, ["a note"])


def test_a_row_is_what_the_folder_holds(result):
    assert result.row.to_dict() == RunFolder(result.folder).read_summary()
    assert isinstance(result.row, pd.Series)
    assert result.row["seed"] == 0
    assert result.notes == ("a note",)


def test_a_relative_folder_is_found_from_any_other(result, monkeypatch):
    monkeypatch.chdir(result.folder.parent)
    moved = RunResult.of_row({**result.row, "folder": "run"})
    monkeypatch.chdir("/")
    assert moved.folder == result.folder
    assert len(moved.history) == 3


def test_history_has_a_row_per_epoch(result):
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    assert result.history["epoch"].tolist() == [1, 2, 3]
    assert result.history["train/loss"].tolist() == [json.loads(x)["train/loss"] for x in lines]


def test_predictions_agree_with_the_row(result):
    table = result.predictions
    with np.load(result.folder / "predictions.npz") as stored:
        ids, labels, logits = stored["ids"], stored["labels"], stored["logits"]
    order = np.argsort(ids, kind="stable")
    assert table["id"].tolist() == ids[order].tolist()
    assert table["true"].tolist() == [result.class_names[label] for label in labels[order]]
    assert (table["true"] == table["label"]).mean() == result.row["test_accuracy"]
    shares = table[list(result.class_names)].to_numpy()
    by_hand = np.exp(logits[order]) / np.exp(logits[order]).sum(axis=1, keepdims=True)
    assert np.abs(shares - by_hand).max() < 1e-12
    assert len(result.class_names) == 10


def test_a_run_without_a_test_part_has_no_predictions(result, tmp_path):
    (tmp_path / "run.json").write_text((result.folder / "run.json").read_text())
    assert dataclasses.replace(result, folder=tmp_path).predictions is None


def test_results_cannot_be_changed(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.folder = result.folder.parent


def test_a_comparison_has_a_row_per_framework(result):
    runs = tuple(
        dataclasses.replace(result, row=pd.Series({**result.row, "backend": name}))
        for name in ("tf", "torch")
    )
    comparison = Comparison(runs=runs, parity=pd.DataFrame(), failure=None, verdict="")
    assert comparison.table["backend"].tolist() == ["tf", "torch"]
    assert comparison.table["test_accuracy"].tolist() == [result.row["test_accuracy"]] * 2


def test_probabilities_by_hand_and_classes_named_like_columns():
    logits = np.log(np.array([[1.0, 3.0], [4.0, 1.0]]))
    answers = logits.argmax(axis=1)
    table = probability_frame(logits, ["file", "dog"], {"file": ["a.jpg", 7]}, answers)
    assert table.columns.tolist() == ["file", "label", "class file", "dog"]
    assert table["file"].tolist() == ["a.jpg", 7]
    assert table["label"].tolist() == ["dog", "file"]
    assert np.allclose(table[["class file", "dog"]], [[0.25, 0.75], [0.8, 0.2]])
