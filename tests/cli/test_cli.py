"""The command line: exit codes, one-sentence refusals, and what the commands print and write."""

import json
import os
import shutil
import subprocess
import sys

import click
import numpy as np
import pytest

from poc import cli
from poc.shared.actions.comparison import check_output
from poc.shared.errors import UsageError
from poc.tests.helpers.workers.plants import plant

BACKENDS = [
    pytest.param("tf", marks=pytest.mark.tf),
    pytest.param("torch", marks=pytest.mark.torch),
]
TINY = [
    *("--set", "data.split.train_per_class=4"),
    *("--set", "model.widths=[2,3]"),
    *("--batch-size", "16"),
    *("--epochs", "2"),
]


def write_npz(path, train_labels, **arrays):
    count = len(train_labels)
    images = np.zeros((count, 8, 8), dtype=np.uint8)
    np.savez(
        path,
        **{
            "train_images": images,
            "train_labels": np.asarray(train_labels),
            "test_images": images[:2],
            "test_labels": np.asarray(train_labels[:2]),
            **arrays,
        },
    )
    return path


def corrupted(folder):
    path = write_npz(folder / "cut.npz", [0, 1] * 10)
    path.write_bytes(path.read_bytes()[:200])
    return f"npz:{path}"


def lopsided(folder):
    """One example of class 1: a split of it leaves a class empty."""
    return f"npz:{write_npz(folder / 'lopsided.npz', [0] * 20 + [1])}"


def occupied(folder):
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text("{}")
    return folder / "run"


RUN = ["run", "--backend", "torch"]
# Name -> arguments (a function makes what it needs in the folder), a word of the message.
REFUSED = {
    "no command": (["fly"], "fly"),
    "unknown option": ([*RUN, "--colour", "red"], "--colour"),
    "no backend": (["run"], "--backend"),
    "unknown backend": (["run", "--backend", "jax"], "jax"),
    "unknown method": ([*RUN, "--method", "alchemy"], "alchemy"),
    "unknown model": ([*RUN, "--model", "alexnet_2050"], "alexnet_2050"),
    "k of 0": ([*RUN, "--k", "0"], "k=0"),
    "k is no integer": ([*RUN, "--k", "x"], "k='x'"),
    "k is a fraction": ([*RUN, "--k", "2.5"], "2.5"),
    "unknown key": ([*RUN, "--set", "colour=red"], "colour"),
    "unknown nested key": ([*RUN, "--set", "optimizer.colour=1"], "colour"),
    "bad --set": ([*RUN, "--set", "k"], "--set 'k'"),
    "wrong value": ([*RUN, "--epochs", "none"], "num_epochs"),
    "wrong dtype": ([*RUN, "--dtype", "float8"], "float8"),
    "no config": ([*RUN, "--config", "none.toml"], "none.toml"),
    "unknown data": ([*RUN, "--data", "cloud:x"], "cloud:x"),
    "no data path": ([*RUN, "--data", "idx:/no/such/folder"], "/no/such/folder"),
    "no npz": ([*RUN, "--data", "npz:none.npz"], "none.npz"),
    "corrupted npz": (lambda folder: [*RUN, "--data", corrupted(folder)], "cut.npz"),
    "empty class": (lambda folder: [*RUN, "--data", lopsided(folder)], "class"),
    "too many a class": ([*RUN, "--set", "data.split.train_per_class=999"], "999"),
    "existing output": (lambda folder: [*RUN, "--output", occupied(folder)], "--overwrite"),
    "small images": ([*RUN, "--method", "scratch"], "conv2d_chain"),
    "a model without logits": (
        [*RUN, "--method", "scratch", "--model", "inception_module", "--set", "model.head=none"],
        "ends in a map",
    ),
    "bad --input": (["models", "summary", "lightnet_plain", "--input", "28x28"], "28x28"),
    "negative --input": (["models", "summary", "lightnet_plain", "--input", "-1x2x3"], "-1x2x3"),
    "bad --classes": (["models", "summary", "lightnet_plain", "--classes", "one"], "one"),
    "summary of nothing": (["models", "summary", "alexnet_2050"], "alexnet_2050"),
    "summary option": (["models", "summary", "lightnet_plain", "--set", "depth=3"], "depth"),
    "verify no folder": (["weights", "verify", "none"], "none"),
    "verify checkpoint": (["weights", "verify", ".", "--checkpoint", "worst"], "worst"),
    "bench mode": (["bench", "--side", "torch:xla"], "eager, compile"),
    "bench file": (["bench", "--verify", "none.json"], "none.json"),
    "bench processes": (["bench", "--processes", "1"], "num_processes"),
    "parity k": (["parity", "--k", "0"], "k=0"),
    "compare k": (["compare", "--k", "-1"], "k=-1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_use_is_one_sentence_and_exit_code_2(name, poc, tmp_path):
    arguments, word = REFUSED[name]
    code, output, errors = poc(*(arguments(tmp_path) if callable(arguments) else arguments))
    assert (code, output) == (2, "")
    assert word in errors
    assert_one_sentence(errors)
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").rglob("run.json"))


def assert_one_sentence(errors):
    assert errors.startswith("poc: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


def test_the_real_command_gives_the_same_exit_code_and_message():
    done = subprocess.run(
        [sys.executable, "-m", "poc.cli", *RUN, "--k", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_sentence(done.stderr)


HIDE = """
import runpy, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "tensorflow", "keras"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name in ("torch", "tensorflow", "keras") else find(name, *rest))
sys.argv = ["server", sys.argv[-1]]
runpy.run_module("poc.shared.engine.server", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["tf", "torch"])
def test_a_missing_backend_is_named_with_the_way_to_install_it(name, poc, tmp_path, monkeypatch):
    script, interpreter = tmp_path / "hide.py", tmp_path / "python"
    script.write_text(HIDE)
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.setenv(f"POC_{name.upper()}_PYTHON", str(interpreter))
    code, _, errors = poc("models", "summary", "lightnet_plain", "--backend", name)
    assert code == 2
    assert f"pip install 'poc[{name}]'" in errors
    assert_one_sentence(errors)


def test_an_interpreter_that_cannot_be_started(poc, monkeypatch):
    monkeypatch.setenv("POC_TORCH_PYTHON", "/no/such/python")
    code, _, errors = poc("models", "summary", "lightnet_plain", "--backend", "torch")
    assert code == 2
    assert "POC_TORCH_PYTHON='/no/such/python'" in errors
    assert_one_sentence(errors)


def test_an_interpreter_that_dies_is_exit_code_1_without_a_traceback(poc, monkeypatch):
    monkeypatch.setenv("POC_TORCH_PYTHON", shutil.which("false"))
    code, _, errors = poc("models", "summary", "lightnet_plain", "--backend", "torch")
    assert code == 1
    assert "torch worker" in errors
    assert "Traceback" not in errors


def commands(group, path=()):
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("command", [(), *commands(cli.cli)], ids=" ".join)
def test_every_command_has_help(command, poc):
    for flag in ("--help", "-h"):
        code, output, errors = poc(*command, flag)
        assert (code, errors) == (0, "")
        assert output.startswith(f"Usage: poc {' '.join(command)}".rstrip())
    paragraph = output.split("\n\n")[1]  # may be folded over several lines
    assert paragraph.strip().endswith(".")


def test_version(poc):
    code, output, _ = poc("--version")
    assert code == 0
    assert output.startswith("poc")


def test_models_list(poc):
    code, output, _ = poc("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(output)}
    assert code == 0
    assert {"lightnet_plain", "lightnet_residual", "conv2d_chain"} <= rows.keys()
    for row in rows.values():
        assert row["summary"]
        assert all(option["description"] for option in row["options"].values())
    assert rows["lightnet_plain"]["options"]["k"]["default"] == 3
    assert "lightnet_residual" in poc("models", "list")[1]


SUMMARY = [
    *("models", "summary", "lightnet_residual", "--set", "k=3"),
    *("--input", "299x299x3", "--classes", "2"),
]


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_models_summary(backend, poc):
    code, output, _ = poc(*SUMMARY, "--json", *(["--backend", backend] if backend else []))
    found = json.loads(output)
    assert code == 0
    assert found["total_parameters"] == 6447
    assert found["trainable_parameters"] == 6111
    assert found["weight_bytes"] == 25788
    # Per unit of k, the cascade's multiply-adds of each layer (docs/methods/lightlayers.md).
    per_unit = [8850699, 12873744, 983411, 4795416, 6393888, 532824, 2365632, 3154176, 262848]
    assert found["macs"] == 3 * sum(per_unit) + 64
    assert sum(row["parameters"] for row in found["layers"]) == 6447


def test_models_summary_as_a_table(poc):
    code, output, _ = poc(*SUMMARY)
    assert code == 0
    assert "6,447" in output
    assert "block1/conv1" in output


FILES = [
    *("run.json", "metrics.jsonl", "summary.json", "predictions.npz", "worker.log"),
    *("checkpoints/best.safetensors", "checkpoints/last.safetensors"),
    "checkpoints/resume.safetensors",
]


@pytest.mark.tf
@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_leaves_every_file_and_its_weights_cross_over(backend, poc, tmp_path):
    folder = tmp_path / "run"
    code, output, _ = poc("run", "--backend", backend, *TINY, "--output", folder, "--json")
    assert code == 0
    row = json.loads(output)
    assert [name for name in FILES if not (folder / name).is_file()] == []
    assert row["folder"] == str(folder)
    assert json.loads((folder / "summary.json").read_text()).keys() == row.keys()
    assert 0 <= row["test_accuracy_low"] <= row["test_accuracy"] <= row["test_accuracy_high"] <= 1
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["run"]["model"]["options"]["widths"] == [2, 3]
    assert record["command"].startswith("poc run --backend")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        accuracy = (predictions["logits"].argmax(1) == predictions["labels"]).mean()
    assert accuracy == pytest.approx(row["test_accuracy"])

    code, output, _ = poc("weights", "verify", folder, "--json")
    assert code == 0
    assert json.loads(output)["is_passed"]

    before = (folder / "run.json").read_bytes()
    code, _, errors = poc("run", "--backend", backend, *TINY, "--output", folder)
    assert code == 2
    assert "--overwrite" in errors
    assert (folder / "run.json").read_bytes() == before


def check_comparison(root, *, overwrite=False):
    """The refusal of a comparison's folder; empty where there is none."""
    try:
        check_output(root, overwrite=overwrite)
    except UsageError as error:
        return str(error)
    return ""


def test_a_comparison_begins_in_no_folder_that_holds_something(poc, tmp_path):
    """The sentences are those of `run`; a comparison is replaced where the user says so."""
    root = tmp_path / "root"
    assert check_comparison(root) == ""
    (root / "tf").mkdir(parents=True)
    assert check_comparison(root) == ""
    (root / "thesis.tex").write_text("years of work")
    assert "already has content. Expected a new or empty folder" in check_comparison(root)
    assert "which holds no comparison" in check_comparison(root, overwrite=True)
    (root / "run.json").write_text("{}")
    assert "which holds no comparison" in check_comparison(root, overwrite=True)
    assert "already has content" in check_comparison(root / "thesis.tex")
    (root / "tf" / "run.json").write_text("{}")
    assert check_comparison(root, overwrite=True) == ""
    (root / "torch").mkdir()
    (root / "torch" / "mine.txt").write_text("mine")
    assert "which is no run folder" in check_comparison(root, overwrite=True)
    code, output, errors = poc("compare", "--output", root, "--model", "alexnet_2050")
    assert (code, output) == (2, "")
    assert f"Got the output '{root}', which already has content" in errors


@pytest.mark.parity
def test_compare(poc, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    code, output, errors = poc("compare", *TINY, "--output", tmp_path / "both", "--json")
    found = json.loads(output)
    assert code == 0, errors
    assert [row["backend"] for row in found["rows"]] == ["tf", "torch"]
    first, second = found["rows"]
    assert (first["threads"], second["threads"]) == (2, 1)
    assert first["total_parameters"] == second["total_parameters"]
    assert all(rung["is_passed"] for rung in found["parity"])
    # Two epochs of a small run from the same weights and batches: float32 has not drifted far.
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-3)
    assert (tmp_path / "both" / "torch" / "run.json").is_file()


@pytest.mark.parity
def test_a_planted_error_breaks_parity_with_exit_code_1(poc, tmp_path, monkeypatch):
    statement = 'change_layer("block1/norm1", "epsilon", 1e-2)'
    monkeypatch.setenv("POC_TORCH_PYTHON", str(plant(tmp_path, statement)))
    code, output, errors = poc("parity", *TINY, "--json")
    assert code == 1
    assert "block1/norm1" in errors
    assert "Got parity broken on the rung 'logits'" in errors
    # What was climbed on stands before it, beside the object on standard output.
    form, *rungs, failure = errors.splitlines(keepends=True)
    assert form.startswith("small form: method=lightlayers model.name=lightnet_plain model.k=3")
    # Each rung is told when it is known; the last line says what broke.
    assert all(line.startswith("parity: ") for line in rungs)
    assert any("logits: DIFFERENT" in line for line in rungs)
    assert_one_sentence(failure)
    assert not all(rung["is_passed"] for rung in json.loads(output))


@pytest.mark.torch
def test_a_loss_that_is_not_finite_is_exit_code_1(poc, tmp_path):
    folder = tmp_path / "run"
    # With a schedule of its own nothing is left to the recipe, whose line would come first.
    plan = ["--set", "learning_rate=1e30", "--set", "schedule.name=constant"]
    code, _, errors = poc(*RUN, *TINY, *plan, "--output", folder)
    assert code == 1
    assert "step 1" in errors
    assert_one_sentence(errors)
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_help_needs_no_framework_and_little_time():
    """The process as a whole, Python's own start included."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "poc.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ},
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in modules
    assert not modules & {"numpy", "tensorflow", "keras", "torch", "pydantic", "grain"}
