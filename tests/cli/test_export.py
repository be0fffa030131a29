"""`poc export`: any run to any format, checked, noted in the run folder; refusals."""

import hashlib
import json
import os
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from poc.shared.actions.exports import check, written_file
from poc.shared.actions.exports import export as module
from poc.shared.actions.exports.export import export_run
from poc.shared.actions.exports.parent import made_parent
from poc.shared.analysis.tables.terminal import describe_export
from poc.shared.engine.export import runtimes as exported
from poc.shared.engine.export.runtimes import without_information
from poc.shared.engine.folder.decision import write_decision
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.data import DataSpec
from poc.tests.cli.test_cli import TINY
from poc.tests.shared.analysis.report.test_page import make_run
from poc.tests.shared.engine.folder.test_decision import make_decision


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
        assert row["num_images"] == len(np.load(run / "predictions.npz")["labels"])
        assert (row["num_changed"], row["is_from_files"]) == (0, False)
        assert row["probability_error"] <= 1e-4
        assert row["input"] == {"onnx": "picture", "tflite": "view"}[file_format]
    code, output, _ = poc("export", run, "--format", "tflite", "--precision", "int8")
    assert code == 0
    assert "right answers are lost" in output
    noted = RunFolder(run).exports.read()
    assert [(row["format"], row["precision"]) for row in noted] == [
        ("onnx", "float32"),
        ("tflite", "float32"),
        ("tflite", "int8"),
    ]
    assert sorted(path.name for path in (run / "exports").iterdir()) == [
        "float32.onnx",
        "float32.tflite",
        "int8.tflite",
        "predict_onnx.py",
        "predict_tflite.py",
        "preprocess.json",
    ]


@pytest.mark.slow
@pytest.mark.torch
def test_a_file_that_answers_otherwise_is_not_kept(run, monkeypatch):
    """Planted: the trained network's logits are moved by a hundred-thousandth and a half."""

    def moved(*arguments):
        both = answer_both(*arguments)
        logits = both.trained.logits
        logits = logits + np.float32(1.5e-5 * np.abs(logits).max())
        return both._replace(trained=replace(both.trained, logits=logits))

    answer_both, notes = check.answer_both, []
    monkeypatch.setattr(written_file, "answer_both", moved)
    with pytest.raises(CheckFailed, match=r"differ by 1\.\de-05 .* was not kept"):
        export_run(run, file_format="onnx", report=notes.append)
    # First as a file of pictures, and then as one of prepared images.
    texts = [note["text"] for note in notes if note["event"] == "note"]
    assert sum("The file takes prepared images (--input view): Got" in text for text in texts) == 1
    assert not (run / "exports").exists()
    assert RunFolder(run).exports.read() == []


REFUSED = {
    "format": (["--format", "h5"], "Expected one of onnx, tflite"),
    "precision": (["--format", "onnx", "--precision", "int4"], "float32, float16, int8"),
    "input": (["--format", "onnx", "--input", "file"], "Expected one of view, picture"),
    "pictures": (["--format", "tflite", "--input", "picture"], "Expected --format onnx with it"),
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


class ReachedError(Exception):
    """The work would begin."""


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A run folder whose export would begin, were it not refused."""

    def reach(*arguments, **options):
        raise ReachedError

    monkeypatch.setattr(module, "open_trained", reach)
    folder = RunFolder.create(tmp_path / "run")
    (folder.checkpoints / "best.safetensors").write_bytes(b"weights")
    (folder.path / "exports").mkdir()
    return folder


OUTPUTS = {
    "a checkpoint": "run/checkpoints/best.safetensors",
    "a file of one's own": "thesis.txt",
    "a folder": "run/exports",
    "a link to nothing": "link.onnx",
    "a changed export": "run/exports/float32.onnx",
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_that_exists_is_refused_before_any_work(case, begun, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "link.onnx").symlink_to("nowhere")
    (begun.path / "exports" / "float32.onnx").write_bytes(b"changed")
    row = {"format": "onnx", "file": "run/exports/float32.onnx", "sha256": "0" * 64}
    begun.exports.add({**row, "file_bytes": 7}, ["format"])
    output = tmp_path / OUTPUTS[case]
    with pytest.raises(UsageError, match=r"which exists\..* Try naming another file, or remove it"):
        export_run(begun.path, file_format="onnx", output=output)
    assert (begun.checkpoints / "best.safetensors").read_bytes() == b"weights"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_export_of_the_run_is_written_anew_and_a_new_file_made(begun, tmp_path):
    """Noted with its digest; a former version noted the size alone."""
    content = b"a network"
    target = begun.path / "exports" / "float32.onnx"
    target.write_bytes(content)
    with pytest.raises(UsageError, match="which exists"):
        export_run(begun.path, file_format="onnx")
    known = {"file": str(target), "file_bytes": len(content)}
    for more in ({"sha256": hashlib.sha256(content).hexdigest()}, {}):
        begun.exports.add({"format": "onnx", **known, **more}, ["format"])
        with pytest.raises(ReachedError):
            export_run(begun.path, file_format="onnx")
    with pytest.raises(ReachedError):
        export_run(begun.path, file_format="onnx", output=tmp_path / "new" / "model.onnx")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="whose folder cannot be made"):
        made_parent(tmp_path / "file" / "model.onnx").__enter__()


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


def test_the_lines_below_the_table_say_what_was_checked_and_decided(tmp_path):
    row = {
        "precision": "float32", "num_images": 8, "logit_error": 1e-7, "decision": None,
        "is_from_files": True,
    }  # fmt: skip
    text = describe_export(row)
    assert text.startswith("Checked by running it on 8 image files: every label is the run's")
    assert "temperature" not in text
    decision = make_decision(make_run(tmp_path / "run"))
    text = describe_export({**row, "decision": decision.summary()})
    assert "a temperature of 2.0000, and 'ill' from a probability of 0.2000 on." in text
    assert "`poc predict` and the script next to it do so" in text
    scaled = decision.model_copy(update={"threshold": None})
    assert "'ill'" not in describe_export({**row, "decision": scaled.summary()})
    lost = {"num_changed": 3, "num_lost": 2, "num_gained": 1, "trained_accuracy": 0.5}
    text = describe_export(
        {**row, **lost, "precision": "int8", "is_from_files": False, "exported_accuracy": 0.375}
    )
    assert "Of 8 images 3 get another label: 2 right answers are lost and 1 gained" in text


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (None, {}, ("picture", "view")),
        ("view", {}, ("view",)),
        ("picture", {}, ("picture",)),
        (None, {"eval_view": {"crop": "five"}}, ("view",)),
    ],
)
def test_a_file_takes_pictures_where_it_can(kind, settings, expected):
    notes, data = [], DataSpec(image_size=(8, 8), **settings)
    assert module.choose_kinds(kind, "onnx", data, notes.append) == expected
    assert (notes != []) == bool(settings)
    assert module.choose_kinds(kind, "tflite", data, notes.append) == ("view",)
    if settings:
        with pytest.raises(UsageError, match="for a run where the evaluation view has crops"):
            module.choose_kinds("picture", "onnx", data, notes.append)


def test_a_decision_for_other_weights_is_refused_before_any_work(tmp_path, monkeypatch):
    def reach(*arguments, **options):
        raise InterruptedError

    opened = SimpleNamespace(
        data=nullcontext(),
        record=SimpleNamespace(class_names=["healthy", "ill"]),
        run=SimpleNamespace(data=DataSpec()),
        weights={},
    )
    monkeypatch.setattr(module, "open_trained", lambda folder, **options: opened)
    monkeypatch.setattr(module, "write_checked", reach)
    run = make_run(tmp_path / "run", class_names=["healthy", "ill"])
    RunFolder(run).best.write_bytes(b"weights")
    write_decision(run, make_decision(run))
    with pytest.raises(InterruptedError):
        export_run(run, file_format="onnx")
    RunFolder(run).best.write_bytes(b"other weights")
    with pytest.raises(UsageError, match="made for other weights"):
        export_run(run, file_format="onnx")
