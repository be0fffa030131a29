"""Transfer learning and FixRes from the command line: a run end to end, and wrong use."""

import json

import numpy as np
import pytest

from poc.shared.analysis.figures.resolution.cells import Cell
from poc.shared.analysis.figures.resolution.grid import activation_table
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.run import RunSpec

SMALL = [
    *("--model", "lightnet_plain"),
    *("--set", "model.layer=conv2d"),
    *("--set", "model.widths=[2,3]"),
    *("--set", "data.split.train_per_class=4"),
    *("--batch-size", "16"),
]


def write_weights(path, num_classes):
    model = ModelSpec(name="lightnet_plain", options={"layer": "conv2d", "widths": [2, 3]})
    network = model.declare((28, 28, 1), num_classes)
    write_arrays(path, draw_weights(network.parameters, 3))
    return path


@pytest.mark.torch
@pytest.mark.slow
def test_two_phases_then_the_grid_then_another_size(poc, tmp_path):
    weights = write_weights(tmp_path / "body.safetensors", 7)
    code, output, errors = poc(
        *("run", "--backend", "torch", "--method", "fixres", *SMALL, "--weights", weights),
        *("--set", "train_size=16", "--set", "test_size=20", "--set", "finetune_epochs=1"),
        *("--set", "trained_blocks=all", "--set", "bn_mode=adapt_all", "--epochs", "2"),
        *("--set", "eval_view.crop=centre", "--set", "eval_view.resize=shorter_side"),
        *("--output", tmp_path / "run", "--json"),
    )
    assert code == 0, errors
    row = json.loads(output)
    assert (row["train_size"], row["test_size"]) == (16, 20)
    assert [item["size"] for item in row["activations"]] == [16, 20, 20]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["train", "finetune"]
    before = read_arrays(tmp_path / "run" / "checkpoints" / "after_train.safetensors")
    after = read_arrays(tmp_path / "run" / "checkpoints" / "best.safetensors")
    moved = {name for name in after if (after[name] != before[name]).any()}
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    assert moved == {"head/kernel", "head/bias", *(f"block2/norm2/{part}" for part in parts)}
    code, output, _ = poc("grid", tmp_path / "run", "--image", tmp_path / "grid.svg")
    assert code == 0
    # A table for the eye; Markdown where it is asked for.
    assert "|" not in output
    cells = ["torch", "16", "20", "0.97", f"{row['before_test_accuracy']:.4f}"]
    assert cells in [line.split()[:5] for line in output.splitlines()]
    assert (tmp_path / "grid.svg").read_text().startswith("<svg")
    code, output, _ = poc("grid", tmp_path / "run", "--markdown")
    assert code == 0
    assert f"| {' | '.join(cells)} |" in output
    code, output, _ = poc(
        *("evaluate", tmp_path / "run", "--set", "eval_view.crop=five", "--json"),
        *("--set", "image_size=[20,20]", "--export", tmp_path / "outputs.npz"),
    )
    assert code == 0
    result = json.loads(output)
    assert (result["crops"], result["average"], result["images"]) == (5, "softmax", 1000)
    with np.load(tmp_path / "outputs.npz") as file:
        assert file["embeddings"].shape == (1000, 3)
        np.testing.assert_allclose(file["softmax"].sum(axis=1), 1, rtol=1e-5)
        hits = (file["softmax"].argmax(axis=1) == file["labels"]).mean()
    assert hits == pytest.approx(result["accuracy"])


@pytest.mark.torch
@pytest.mark.slow
def test_a_head_of_the_wrong_size_is_wrong_use(poc, tmp_path):
    weights = write_weights(tmp_path / "body.safetensors", 7)
    code, _, errors = poc(
        *("run", "--backend", "torch", "--method", "transfer", *SMALL, "--weights", weights),
        *("--set", "new_head=false", "--output", tmp_path / "run"),
    )
    assert code == 2
    note, refusal = errors.strip().splitlines()
    assert "name no view" in note
    assert "gives 7 classes. Expected 10, as the data has. Try --set new_head=true." in refusal


def write_cell(folder, **changes):
    """A FixRes run that failed before it began."""
    run = RunSpec.parse({"method": "fixres", "method_options": {"test_size": 96}, **changes}, "")
    RunFolder(folder).path.mkdir(parents=True)
    RunFolder(folder).write_run({"format": "poc run 2", "run": run.model_dump(mode="json")})
    RunFolder(folder).mark("failed", failure="error", error="received no room\nat all")


def test_a_grid_without_numbers_says_why_and_fails(poc, tmp_path):
    write_cell(tmp_path / "grid" / "a")
    code, output, errors = poc("grid", "grid", "--image", "grid.svg")
    assert code == 1
    assert "error" in output
    assert errors.splitlines() == [
        "Written: grid.svg",
        "poc: Got no accuracies, because the one cell failed (torch, 224 to 96) with: received no "
        "room",
    ]
    write_cell(tmp_path / "grid" / "b", backend="tf")
    code, output, errors = poc("grid", "grid", "--json")
    assert code == 1
    assert len(json.loads(output)) == 2
    assert errors == (
        "poc: Got no accuracies, because all 2 cells failed, the first (tf, 224 to 96) with: "
        "received no room\n"
    )


def test_a_size_and_weights_are_one_line_of_the_activations():
    """Where training and test agree, the same features are measured twice."""
    after = ("after the first phase", "after the second phase")
    values = {"mean": 0.5, "deviation": 0.25, "zero_share": 0.125}
    items = [{"size": 16, "weights": name, **values} for name in (after[0], *after)]
    place = {"backend": "tf", "seed": 0, "train_size": 16, "test_size": 16, "crop_share": 1.0}
    rows = activation_table([Cell(**place, row={"activations": items})] * 2).rows
    assert [row[4] for row in rows] == [*after, *after]


def test_apparent_sizes_are_printed(poc):
    code, output, _ = poc("data", "apparent-size", "--train", "224", "--test", "320", "--json")
    assert code == 0
    result = json.loads(output)
    assert result["resized"] == 365
    assert result["ideal_ratio"] == pytest.approx(1.154, abs=0.001)
    assert "size ratio" in poc("data", "apparent-size", "--train", "224", "--test", "320")[1]


def test_apparent_sizes_of_other_crops_are_printed(poc):
    given = ("data", "apparent-size", "--train", "224", "--test", "320", "--area")
    code, output, _ = poc(*given, "0.5", "1", "--json")
    assert code == 0
    assert json.loads(output)["ideal_ratio"] == pytest.approx(0.8619 * 365 / 224, abs=0.001)
    code, _, error = poc(*given, "1", "0.5")
    assert code == 2
    assert "Got area=1 to 0.5" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "apparent-size", "--train", "0", "--test", "2"], "at least 1 pixel"),
        (["probe", "--output", "x"], "no --weights"),
        (["probe", "--output", "x", "--weights", "y", "--folds", "1"], "at least 2"),
        (["evaluate", "nowhere"], "has no run.json"),
        (["grid", "."], "with no run of the method fixres"),
        (["run", "--backend", "tf", "--method", "transfer", "--weights", "y"], "is no file"),
        (["run", "--backend", "tf", "--method", "transfer", "--set", "bn_mode=on"], "bn_mode"),
    ],
)
def test_wrong_use_is_one_sentence(poc, arguments, words):
    code, _, errors = poc(*arguments)
    assert code == 2
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
