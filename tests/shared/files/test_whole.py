"""Files: the old one or the whole new one; refusals in one sentence."""

import hashlib
import json
import math
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files import whole
from poc.shared.files.arrays import read_arrays, read_arrays_and_metadata, write_arrays
from poc.shared.files.whole import read_json, remove_temporaries, write_bytes, write_json


class DiskFullError(OSError):
    pass


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_injected_failure_leaves_the_old_file(moment, tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail(*arguments):
        raise DiskFullError

    target = (whole.os, "fsync") if moment == "fsync" else (whole.Path, "replace")
    monkeypatch.setattr(*target, fail)
    with pytest.raises(DiskFullError):
        write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_read(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_equal_arrays_and_texts_give_equal_bytes(tmp_path):
    """As a resumed run's files must; the library shuffles the texts of a header."""
    arrays = {"größe/kernel": np.ones((2, 3), np.float32), "b": np.arange(5)}
    texts = {name: name * 3 for name in ("epoch", "model", "lineage", "format", "loop")}
    for number in range(20):
        write_arrays(tmp_path / f"{number}", arrays, **texts)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    found, metadata = read_arrays_and_metadata(tmp_path / "0")
    assert metadata == texts
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    loaded = load_file(tmp_path / "0")
    assert all(np.array_equal(loaded[name], value) for name, value in arrays.items())


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None], "b": {"c": "größer"}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "file.json", {"a": math.nan, "b": [math.inf], "c": (1.0,)})
    assert read_json(tmp_path / "file.json") == {"a": None, "b": [None], "c": [1.0]}
    assert "NaN" not in (tmp_path / "file.json").read_text()


def test_arrays_round_trip(tmp_path):
    arrays = {
        "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "step": np.asarray(7),
        "empty": np.zeros((0, 2)),
    }
    write_arrays(tmp_path / "file.safetensors", arrays, epoch="3")
    found = read_arrays(tmp_path / "file.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape


BROKEN = {
    "missing": None,
    "empty": b"",
    "text": b"not a file of that kind",
    "header": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("read", [read_json, read_arrays])
def test_a_broken_file_is_refused_in_one_sentence(read, kind, tmp_path):
    path = tmp_path / "file"
    if BROKEN[kind] is not None:
        path.write_bytes(BROKEN[kind])
    with pytest.raises(
        UsageError, match=r"^Got .*file.*\. Expected .*\. Try (naming|.* nam)"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_cut_weight_file_is_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    write_arrays(path, {"a": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UsageError, match="damaged or no safetensors file"):
        read_arrays(path)


def test_a_new_run_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "a" / "b")
    assert folder.checkpoints.is_dir()
    assert folder.read_metrics() == []
    folder.write_run({"status": "running"})
    folder.mark("failed", error="why")
    record = folder.read_run()
    assert (record["status"], record["error"]) == ("failed", "why")


def test_metrics_lines(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.append_metrics({"epoch": 1, "train/loss": 0.5})
    folder.append_metrics({"epoch": 2, "train/loss": math.nan})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tra')
    assert folder.read_metrics() == [
        {"epoch": 1, "train/loss": 0.5},
        {"epoch": 2, "train/loss": None},
    ]


def test_predictions(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_predictions(np.eye(2), np.array([0, 1]), ["a", "b"])
    with np.load(folder.path / "predictions.npz", allow_pickle=False) as found:
        assert found["ids"].tolist() == ["a", "b"]
        assert np.array_equal(found["logits"], np.eye(2))


def test_an_existing_folder_is_not_overwritten_without_being_asked(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_run({"status": "finished"})
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        RunFolder.create(folder.path)
    assert folder.read_run() == {"status": "finished"}
    RunFolder.create(folder.path, overwrite=True)
    assert not (folder.path / "run.json").exists()
    assert (folder.path / "notes.txt").read_text() == "mine"


def test_a_new_run_replaces_what_poc_wrote_and_nothing_else(tmp_path):
    """Weights by their names, exports by their digests; a killed process's leftovers go too."""
    folder = RunFolder.create(tmp_path / "run")
    exports = folder.path / "exports"
    (exports / ".export.abc").mkdir(parents=True)
    frozen = f"frozen-{'0' * 64}.safetensors"
    own = [
        *("best.safetensors", "last.safetensors", "after_head.safetensors", frozen),
        *("resume.safetensors", "resume_previous.safetensors", ".part-best.safetensors-x"),
        ".resume_previous.safetensors.link",
    ]
    mine = ["note.txt", "mine.safetensors", "best.safetensors.bak", ".hidden.txt"]
    for name in [*own, *mine]:
        (folder.checkpoints / name).write_text(name)
    for name in ("float32.onnx", "int8.tflite", "float16.tflite", "mine.txt"):
        (exports / name).write_text(name)
    row = {"format": "onnx", "file": "run/exports/float32.onnx"}
    digest = hashlib.sha256(b"float32.onnx").hexdigest()
    folder.exports.add({**row, "sha256": digest}, ["file"])
    folder.exports.add({"file": "exports/int8.tflite", "file_bytes": 11}, ["file"])
    folder.exports.add({"file": "exports/float16.tflite", "sha256": digest}, ["file"])
    folder.write_run({"status": "finished"})
    RunFolder.create(folder.path, overwrite=True)
    assert {path.name for path in folder.checkpoints.iterdir()} == set(mine)
    assert {path.name for path in exports.iterdir()} == {"float16.tflite", "mine.txt"}
    assert not (folder.path / "exports.json").exists()


def test_a_checkpoint_leaves_hidden_files_of_others(tmp_path):
    (tmp_path / ".mine.txt").write_text("mine")
    (tmp_path / ".part-resume.safetensors-x").write_text("cut")
    (tmp_path / ".resume_previous.safetensors.link").write_text("cut")
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.txt"]


def test_a_folder_that_is_no_run_is_not_overwritten_even_when_asked(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no run folder"):
        RunFolder.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_an_output_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UsageError):
            RunFolder.create(path, overwrite=overwrite)
    assert json.dumps(path.read_text()) == '"x"'


def test_an_output_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be made"):
        RunFolder.create(tmp_path / "file" / "run")
