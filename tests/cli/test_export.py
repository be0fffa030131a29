"""`poc export`: any run to any format, checked, noted in the run folder; refusals."""

import json
import os

import numpy as np
import pytest

from poc.shared.actions import export as module
from poc.shared.actions.export import export_run
from poc.shared.engine.export import runtimes as exported
from poc.shared.engine.export.runtimes import without_information
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import CheckFailed, UsageError
from poc.tests.cli.test_cli import TINY


@pytest.fixture
def run(poc, tmp_path):
    """A trained run of the PyTorch backend."""
    options = ["--backend", "torch", "--k", "2", *TINY, "--set", "model=lightnet_residual"]
    code, _, errors = poc("run", *options, "--output", tmp_path / "run")
    assert code == 0, errors
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parity
def test_one_run_becomes_both_files(run, poc):
    for file_format in ("onnx", "tflite"):
        code, output, errors = poc("export", run, "--format", file_format, "--json")
        assert code == 0, errors
        row = json.loads(output)
        assert row["logit_error"] <= 1e-5
        assert row["weight_bytes"] == 4 * row["total_parameters"]
        assert row["file_bytes"] == (run / "exports" / f"float32.{file_format}").stat().st_size
        assert row["trained_accuracy"] == row["exported_accuracy"]
        assert row["latency_1_seconds"] > 0
        assert row["latency_64_calls"] >= 10
    code, output, _ = poc("export", run, "--format", "tflite", "--precision", "int8")
    assert code == 0
    assert "right answers are lost" in output
    noted = RunFolder(run).read_exports()
    assert [(row["format"], row["precision"]) for row in noted] == [
        ("onnx", "float32"),
        ("tflite", "float32"),
        ("tflite", "int8"),
    ]
    assert sorted(path.name for path in (run / "exports").iterdir()) == [
        "float32.onnx",
        "float32.tflite",
        "int8.tflite",
    ]


@pytest.mark.slow
@pytest.mark.torch
def test_a_file_that_answers_otherwise_is_not_kept(run, monkeypatch):
    """Planted: the trained network's logits are moved by a hundred-thousandth and a half."""

    def moved(*arguments):
        evaluation = evaluate(*arguments)
        largest = np.abs(evaluation.logits).max()
        return evaluation._replace(logits=evaluation.logits + np.float32(1.5e-5 * largest))

    evaluate = module.evaluate_trained
    monkeypatch.setattr(module, "evaluate_trained", moved)
    with pytest.raises(CheckFailed, match=r"differ by 1\.\de-05 .* was not kept"):
        export_run(run, file_format="onnx")
    assert list((run / "exports").iterdir()) == []
    assert RunFolder(run).read_exports() == []


REFUSED = {
    "format": (["--format", "h5"], "allowed are onnx, tflite"),
    "precision": (["--format", "onnx", "--precision", "int4"], "float32, float16, int8"),
    "folder": (["--format", "onnx"], "no run.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_use_is_one_sentence(case, poc, tmp_path):
    options, message = REFUSED[case]
    code, _, errors = poc("export", tmp_path, *options)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs ai_edge_litert.*pip install 'poc\[export\]'"):
        exported.find_format("tflite")


def test_what_a_runtime_tells_of_itself_stays_off_the_terminal(capfd):
    with without_information():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: broken\n")
    assert capfd.readouterr().err == "ERROR: broken\n"

    def fail():
        with without_information():
            os.write(2, b"INFO: x\nhalf a line")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    os.write(2, b" and more")
    assert capfd.readouterr().err == "half a line and more"
