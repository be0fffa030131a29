"""Packages: complete, the same each time, and refused before any work."""

import hashlib
import json
import zipfile

import pytest

from poc.shared.actions.cards import package
from poc.shared.actions.cards.package import package_run
from poc.shared.actions.exports.companions import write_script
from poc.shared.actions.exports.export import KEYS
from poc.shared.engine.folder.decision import digest_checkpoint, write_decision
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays
from poc.shared.files.collisions import digest_file
from poc.tests.helpers.export.small_onnx import default_spec, write_file
from poc.tests.shared.actions.new_images.test_label_files import photos, run, trained
from poc.tests.shared.engine.folder.test_decision import make_decision

__all__ = ["photos", "run", "trained"]


def export(folder, *, file_format, data=None, report=None, output=None, names=("cat", "dog")):
    """Write a small file and its entry, as `poc export` does with a framework."""
    path = output or folder / "exports" / f"float32.{file_format}"
    path.parent.mkdir(exist_ok=True)
    write_file(path, default_spec(), (12, 10, 3), list(names))
    row = {
        "format": file_format,
        "precision": "float32",
        "merges_shortcuts": True,
        "file": str(path),
        "sha256": digest_file(path),
        "checkpoint_sha256": digest_checkpoint(folder),
        "decision": None,
        **dict.fromkeys(("weight_bytes", "safetensors_bytes", "file_bytes"), 1),
        **dict.fromkeys(("logit_error", "trained_accuracy", "exported_accuracy"), 0.0),
        **dict.fromkeys(("latency_1_seconds", "latency_64_seconds"), 1.0),
    }
    RunFolder(folder).exports.add(row, KEYS)


@pytest.fixture
def exports(monkeypatch):
    """The formats that were exported, one after the other, without a framework."""
    calls = []

    def write(folder, **given):
        calls.append(given["file_format"])
        export(folder, **given)

    monkeypatch.setattr(package, "export_run", write)
    return calls


def test_it_is_complete_and_the_same_each_time(run, photos, exports, tmp_path):
    first = package_run(run, tmp_path / "a.zip", formats=["onnx"])
    again = package_run(run, tmp_path / "b.zip", formats=["onnx"])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    # The second one found the export of the first.
    assert (first.exported, again.exported, exports) == (["onnx"], [], ["onnx"])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
        archive.extract("weights.safetensors", tmp_path)
    sums = held.pop("SHA256SUMS").decode().splitlines()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    assert sums == [f"{value}  {name}" for name, value in digests.items()]
    assert first.files == digests
    # No file of it names a folder of this machine.
    places = [str(place).encode() for place in (run.parent, photos.parent)]
    assert not any(place in content for content in held.values() for place in places)
    assert list(held) == [
        *("README.md", "float32.onnx", "preprocess_onnx.json", "predict_onnx.py"),
        *("weights.safetensors", "WEIGHTS_LICENCE.txt", "LICENSE.txt"),
    ]
    assert json.loads(held["preprocess_onnx.json"])["class_names"] == ["cat", "dog"]
    assert held["predict_onnx.py"].decode() == write_script("onnx")
    assert b"MIT License" in held["LICENSE.txt"]
    assert b"random numbers" in held["WEIGHTS_LICENCE.txt"]
    assert b"python predict_onnx.py photo.jpg" in held["README.md"]
    stored = read_arrays(run / "checkpoints" / "best.safetensors")
    assert read_arrays(tmp_path / "weights.safetensors").keys() == stored.keys()


def test_an_export_of_other_weights_or_another_decision_is_written_again(run, exports, tmp_path):
    package_run(run, tmp_path / "a.zip", formats=["onnx"])
    write_decision(run, make_decision(run, names=["cat", "dog"], threshold=None, figures={}))
    package_run(run, tmp_path / "b.zip", formats=["onnx"])
    assert exports == ["onnx", "onnx"]
    file = run / "exports.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{**row, "checkpoint_sha256": "0"} for row in rows]))
    package_run(run, tmp_path / "c.zip", formats=["onnx"])
    assert exports == ["onnx"] * 3


def test_an_export_to_another_place_leaves_that_of_the_run_known(run, exports, tmp_path):
    export(run, file_format="onnx")
    for name in ("mine.onnx", "float32.onnx", "mine.onnx"):
        export(run, file_format="onnx", output=tmp_path / "out" / name, names=("ox", "emu"))
    assert package_run(run, tmp_path / "a.zip", formats=["onnx"]).exported == []
    files = [row["file"] for row in RunFolder(run).exports.read()]
    out = [str(tmp_path / "out" / name) for name in ("float32.onnx", "mine.onnx")]
    assert files == [str(run / "exports" / "float32.onnx"), *out]
    # A file that is gone, or is written again, leaves no entry.
    for path in out:
        (tmp_path / "out" / path).unlink()
    export(run, file_format="onnx", names=("ox", "emu"))
    assert [row["file"] for row in RunFolder(run).exports.read()] == files[:1]


@pytest.mark.parametrize(
    ("output", "formats", "words"),
    [
        (None, [], "Got no --output"),
        ("a.tar", [], "Expected a name that ends in .zip. Try --output a.zip"),
        ("no/a.zip", [], "whose folder does not exist"),
        ("there.zip", [], "there.zip', which exists"),
        ("a.zip", ["onnxx"], "Got the format 'onnxx'"),
    ],
)
def test_it_is_refused_before_any_work(output, formats, words, run, exports, tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(UsageError) as caught:
        package_run(run, tmp_path / output if output else None, formats=formats)
    assert words in str(caught.value)
    assert exports == []


def test_a_full_disk_is_said_in_one_sentence(run, exports, tmp_path, monkeypatch):
    def fail(path, members):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package, "write_zip", fail)
    with pytest.raises(UsageError, match=r"cannot be written \(No space left on device\)"):
        package_run(run, tmp_path / "a.zip", formats=["onnx"])


def test_a_file_of_somebody_else_is_not_replaced(run, exports, tmp_path):
    (run / "exports").mkdir()
    (run / "exports" / "float32.onnx").write_text("mine")
    with pytest.raises(UsageError, match="which exists"):
        package_run(run, tmp_path / "a.zip", formats=["onnx"])
    assert (exports, (run / "exports" / "float32.onnx").read_text()) == ([], "mine")


def test_lost_data_is_refused_before_the_first_export(run, exports, tmp_path):
    content = json.loads((run / "run.json").read_text())
    content["run"]["data"]["source"] = f"folder:{tmp_path / 'gone'}"
    content["data"]["relative_path"] = "gone"
    (run / "run.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="Try naming its present place with --data"):
        package_run(run, tmp_path / "a.zip", formats=["onnx"])
    assert (exports, (tmp_path / "a.zip").exists()) == ([], False)


def test_a_missing_framework_is_named(run, exports, tmp_path, monkeypatch):
    missing = {"tf": ["tensorflow"], "torch": []}
    monkeypatch.setattr(package, "missing_packages", missing.__getitem__)
    with pytest.raises(UsageError, match="Got --format tflite, which needs tensorflow"):
        package_run(run, tmp_path / "a.zip", formats=["tflite"])
    notes = []
    found = package_run(run, tmp_path / "a.zip", report=notes.append)
    assert found.exported == ["onnx"]
    assert any("no tflite file" in str(note) for note in notes)
    monkeypatch.setattr(package, "missing_packages", lambda name: ["all"])
    with pytest.raises(UsageError, match="can write no exported file"):
        package_run(run, tmp_path / "b.zip")
