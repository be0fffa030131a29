"""Runs on images with any number of labels: both backends, their answers, and what reads them."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import poc
from poc.cli import cli
from poc.shared.actions.evaluate import evaluate_folder
from poc.shared.analysis.runs.predictions import read_predictions
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.metrics import classification_metrics

pytestmark = [pytest.mark.tf, pytest.mark.torch]
NAMES = ("bright", "wide")
SETTINGS = {
    "model.widths": [4, 4],
    "model.layer": "conv2d",
    "data.image_size": [12, 12],
    "data.batch_size": 8,
    "data.train_view.mixup": 0.2,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty pictures, a third of them bright and a half of them with a wide bar."""
    folder = tmp_path_factory.mktemp("labels")
    draw, lines = np.random.default_rng(0), ["path,bright,wide"]
    for number in range(60):
        flags = (number % 3 == 0, number % 2 == 0)
        pixels = draw.integers(0, 60, (12, 12)) + 120 * flags[0]
        pixels[5:7, 1 : 11 if flags[1] else 4] += 70
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{flags[0]:d},{flags[1]:d}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def runs(table):
    return {
        backend: poc.run(
            backend=backend,
            method="scratch",
            model="lightnet_plain",
            data=f"csv:{table}",
            epochs=30,
            settings=SETTINGS,
            output=table.parent / backend,
        )
        for backend in ("tf", "torch")
    }


def test_both_learn_the_same(runs):
    rows = {backend: run.row for backend, run in runs.items()}
    for row in rows.values():
        # Bright pictures are seen at once; chance is 1/3 for both labels together.
        assert row["test_label_accuracy"] > 0.8
        assert row["test_area_under_roc"] > 0.9
        assert 0 < row["train_loss"] < 0.6
    assert rows["tf"]["test_loss"] == pytest.approx(rows["torch"]["test_loss"], rel=1e-2)


def test_the_record_has_the_loss_and_a_note(runs):
    for run in runs.values():
        record = RunFolder(run.folder).read_run()
        assert record["run"]["loss"]["name"] == "binary_cross_entropy"
        assert any("any number of labels" in note for note in record["data"]["notes"])


def test_the_row_is_that_of_the_answers(runs):
    for run in runs.values():
        found = read_predictions(run.folder, len(NAMES))
        assert found.is_multi_label
        expected = classification_metrics(found.logits, found.labels)
        assert {f"test_{name}": run.row[f"test_{name}"] for name in expected} == pytest.approx(
            {f"test_{name}": value for name, value in expected.items()}
        )
        assert run.row["test_accuracy"] == found.hits.mean()


def test_predictions_name_the_labels(runs, table):
    run = runs["torch"]
    saved = run.predictions.set_index("id")
    answers = poc.predict(run.folder, [table.parent / name for name in saved.index])
    assert answers[[*NAMES]].to_numpy() == pytest.approx(saved[[*NAMES]].to_numpy(), abs=1e-6)
    assert answers["label"].tolist() == saved["label"].tolist()
    for _, row in answers.iterrows():
        assert row["label"] == "|".join(name for name in NAMES if row[name] > 0.5)
    truth = {f"{n}.png": "|".join(np.array(NAMES)[[n % 3 == 0, n % 2 == 0]]) for n in range(60)}
    assert saved["true"].to_dict() == {name: truth[name] for name in saved.index}


def test_an_evaluation_finds_the_same(runs):
    facts = evaluate_folder(runs["tf"].folder)
    assert facts["accuracy"] == runs["tf"].row["test_accuracy"]
    assert facts["label_accuracy"] == runs["tf"].row["test_label_accuracy"]
    assert [row["class"] for row in facts["classes"]] == list(NAMES)


def test_a_report_has_the_figures_of_each_label(runs, tmp_path):
    folders = [str(run.folder) for run in runs.values()]
    done = CliRunner().invoke(cli, ["report", *folders, "--output", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    with (tmp_path / "report" / "classes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["class"] for row in rows} == set(NAMES)
    assert all(float(row["area_under_roc"]) > 0.7 for row in rows if row["class"] == "bright")
    page = (tmp_path / "report" / "report.html").read_text()
    # Always the commonest set: a third has neither label, no set has more.
    assert "majority baseline" in page


def test_what_needs_one_class_is_refused(runs):
    done = CliRunner().invoke(cli, ["calibrate", str(runs["torch"].folder)])
    assert isinstance(done.exception, poc.UsageError)
    assert "any number of labels" in str(done.exception)
