"""The choice of C and k by validation alone: the record, few images, a resume, the test part."""

import json
from contextlib import suppress

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.training.heads.record import describe_head_fit
from poc.shared.errors import Terminated
from poc.shared.spec.methods.fitted_heads import NeighboursOptions
from poc.tests.helpers.workers import stub

MODEL = {
    "name": "lightnet_plain",
    "options": {"widths": [2, 2], "layer": "conv2d", "head": "dense", "dropout": 0.0},
}
METHODS = ("logistic", "knn")
FEW = {"c_values": [0.1, 0.001, 10.0], "k_values": [5, 1, 3]}


def options_of(method, **more):
    key = {"logistic": "c_values", "knn": "k_values"}[method]
    return {key: FEW[key], **more}


def run_of(method, **fields):
    """A run on 40 images; 32 of them are in the validation part of the data."""
    options = options_of(method)
    data = {"split": {"train_per_class": 4}, "batch_size": 8}
    values = {"method": method, "method_options": options, "model": MODEL, "data": data}
    return {**values, **fields}


def train(folder, run, *, is_resumed=False):
    """The notes of a run, by the stub."""
    output = folder if is_resumed else RunFolder.create(folder).path
    events = []
    operations = ServedOperations(stub, events.append, 0.0)
    with suppress(Terminated):
        operations.train(
            run=run, folder=str(output), command="poc", save_every="10min", is_resumed=is_resumed
        )
    return [event["text"] for event in events if event["event"] == "note"]


def read_fit(folder):
    return json.loads((folder / "head_fit.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=METHODS)
def finished(request, tmp_path_factory):
    """A method, its finished run and the notes."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, folder, train(folder, run_of(request.param))


def test_the_best_candidate_on_validation_is_chosen(finished):
    """Each is judged, in rising order; of equal ones the smaller wins; the row says which."""
    method, folder, _ = finished
    fit = read_fit(folder)
    values = sorted(FEW[{"logistic": "c_values", "knn": "k_values"}[method]])
    assert [row["value"] for row in fit["candidates"]] == values
    losses = [row["metrics"]["val/loss"] for row in fit["candidates"]]
    assert fit["chosen"] == values[losses.index(min(losses))]
    assert fit["metric"] == "val/loss"
    row = RunFolder(folder).read_summary()
    assert row["chosen"] == f"{fit['symbol']} = {fit['chosen']:g}"
    assert row["chosen_by"] == "val/loss"
    assert row["best_val_loss"] == min(losses)


def test_one_epoch_without_a_step(finished):
    _, folder, notes = finished
    (line,) = RunFolder(folder).read_metrics()
    assert (line["epoch"], line["step"]) == (1, 5)
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= line.keys()
    assert not [text for text in notes if text.startswith("Recipe")]
    row = RunFolder(folder).read_summary()
    # The stub would have counted its steps.
    assert row["num_epochs"] == 1
    assert 0 <= row["test_accuracy"] <= 1


@pytest.mark.parametrize("method", METHODS)
def test_few_validation_images_choose_nothing(method, tmp_path):
    """One candidate, the options' own, and a sentence with the setting that chooses."""
    run = run_of(method, early_stopping={"min_validation_images": 5000})
    notes = train(tmp_path / "run", run)
    (note,) = [text for text in notes if "choose no" in text]
    symbol, value = {"logistic": ("C", 1.0), "knn": ("k", 20)}[method]
    assert f"choose no {symbol}: {symbol} = {value:g} (default_{symbol.lower()})" in note
    fit = read_fit(tmp_path / "run")
    assert ([row["value"] for row in fit["candidates"]], fit["metric"]) == ([value], "none")
    assert describe_head_fit(tmp_path / "run")["chosen_by"] == "none"


@pytest.mark.parametrize("stop", [3, 5], ids=["among the features", "before the fit"])
def test_a_stopped_run_ends_as_one_that_was_not(stop, finished, tmp_path, monkeypatch):
    method, whole, _ = finished
    monkeypatch.setattr(Saver, "is_due", stub.stop_at([stop]))
    train(tmp_path / "parts", run_of(method))
    stopped = RunFolder(tmp_path / "parts").read_run()
    assert stopped["status"] == "interrupted"
    monkeypatch.undo()
    train(tmp_path / "parts", stopped["run"], is_resumed=True)
    fits = [read_fit(folder) for folder in (whole, tmp_path / "parts")]
    for fit in fits:
        for row in fit["candidates"]:
            row.pop("seconds")
    assert fits[0] == fits[1]
    for name in ("predictions.npz", "validation_predictions.npz"):
        with np.load(whole / name) as first, np.load(tmp_path / "parts" / name) as second:
            assert np.array_equal(first["logits"], second["logits"])


def test_a_k_above_the_number_of_images_is_that_number(tmp_path):
    run = run_of("knn", method_options={"k_values": [100, 200]})
    train(tmp_path / "run", run)
    fit = read_fit(tmp_path / "run")
    assert [row["value"] for row in fit["candidates"]] == [40]
    stored = RunFolder(tmp_path / "run").read_run()["run"]["model"]["stored_images"]
    assert (stored["num_images"], stored["most_neighbours"]) == (40, 40)
    assert NeighboursOptions(k_values=(1, 3)).store(1000).most_neighbours == 20
