"""Runs that never begin: they leave nothing behind, and what stood there stands there still."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.folder.reservation import starting
from poc.shared.engine.folder.run_folder import LOCK, RunFolder
from poc.shared.engine.launch.run import launch_run, resume_run
from poc.shared.engine.trained_run import open_trained
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.faults.test_resume import MODEL
from poc.tests.helpers.commands.processes import stub_environment

RUN = ["backend=torch", "method=scratch", "model=lightnet_plain", "widths=[2,2]", "model.k=1"]
SHORT = [*RUN, "train_per_class=3", "num_epochs=1"]
# Settings that only the worker can refuse -> words of the message.
REFUSED = {
    "no data": (["data.source=folder:nowhere"], "there is no folder"),
    "too few images": (
        ["data.source=folder:IMAGES", "num_epochs=2", "patience=1"],
        "validation images",
    ),
    "other weights": (
        ["data.source=folder:IMAGES", "num_epochs=1", "initial_weights=WEIGHTS", "widths=[2,3]"],
        "WEIGHTS.*Expected .* for lightnet_plain",
    ),
    "no weights": (
        ["data.source=folder:IMAGES", "num_epochs=1", "initial_weights=IMAGES/a/0.png"],
        "damaged or no safetensors",
    ),
}


@pytest.fixture
def material(tmp_path):
    """A folder of 20 images of two classes, and weights of the model for them."""
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            size = (20 + number, 24, 3)
            pixels = draw.integers(0, 255, size, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    values = {"method": "scratch", "model": MODEL, "input_shape": [64, 64, 3], "num_classes": 2}
    run = RunSpec.parse(values, "")
    write_arrays(tmp_path / "weights.safetensors", draw_weights(declare_network(run).parameters, 0))
    return {"IMAGES": tmp_path / "images", "WEIGHTS": tmp_path / "weights.safetensors"}


@pytest.fixture
def launch(tmp_path, monkeypatch, material):
    """Starts a run of the stub in a process of its own."""
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)

    def start(settings, output, *, overwrite=False):
        for name, path in material.items():
            settings = [text.replace(name, str(path)) for text in settings]
        run = load_run(None, settings)
        return launch_run(run, output, command="", overwrite=overwrite, report=lambda event: None)

    return start


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def times(folder):
    """When each file below a folder was written; its log waits under another name for a while."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_start_leaves_nothing(name, launch, material, tmp_path):
    settings, words = REFUSED[name]
    words = words.replace("WEIGHTS", str(material["WEIGHTS"]))
    # A key has one value: what is set anew takes the place of what every run has.
    anew = {text.partition("=")[0] for text in settings}
    common = [text for text in RUN if text.partition("=")[0] not in anew]
    with pytest.raises(UsageError, match=words) as caught:
        launch([*common, *settings], tmp_path / "new" / "run")
    assert str(caught.value).startswith("Got ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("key", ["teacher.weights", "initial_weights"])
def test_a_run_does_not_replace_the_one_whose_weights_it_needs(key, launch, tmp_path):
    folder = tmp_path / "run"
    launch(SHORT, folder)
    before = contents(folder)
    kd = [text for text in SHORT if not text.startswith("method=")]
    needed = f"{key}={folder / 'checkpoints' / 'best.safetensors'}"
    method = "method=kd" if key.startswith("teacher") else "method=scratch"
    with pytest.raises(UsageError, match=r"would be replaced.*--output"):
        launch([*kd, method, needed], folder, overwrite=True)
    assert contents(folder) == before


def test_a_folder_of_the_user_s_stays_as_empty_as_it_was(launch, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="there is no folder"):
        launch([*RUN, *REFUSED["no data"][0]], tmp_path / "mine")
    assert contents(tmp_path / "mine") == {}


def test_a_refused_overwrite_keeps_the_former_run_and_the_next_one_replaces_it(launch, tmp_path):
    folder = tmp_path / "run"
    launch(SHORT, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "exports").mkdir()
    (folder / "exports" / "model.onnx").write_bytes(b"old")
    RunFolder(folder).exports.add({"file": "exports/model.onnx", "file_bytes": 3}, ["file"])
    (folder / "worker.log").write_text("what the former run printed")
    before, stamps = contents(folder), times(folder)
    assert {"summary.json", "metrics.jsonl", "checkpoints/best.safetensors"} < before.keys()
    with pytest.raises(UsageError, match="there is no folder"):
        launch([*RUN, *REFUSED["no data"][0]], folder, overwrite=True)
    assert (contents(folder), times(folder)) == (before, stamps)
    # One that names a process which has ended, as a killed run leaves it.
    (folder / LOCK).write_text('{"process": 4194304, "machine": "elsewhere"}')
    before, stamps = contents(folder), times(folder)
    with pytest.raises(UsageError, match="there is no folder"):
        launch([*RUN, *REFUSED["no data"][0]], folder, overwrite=True)
    assert (contents(folder), times(folder)) == (before, stamps)
    row = launch([*SHORT, "seed=5"], folder, overwrite=True)
    after = contents(folder)
    assert RunFolder(folder).read_run()["run"]["seed"] == 5
    assert RunFolder(folder).read_summary()["test_loss"] == row["test_loss"]
    assert after["notes.txt"] == b"mine"
    assert {"exports/model.onnx", ".worker.log.former"}.isdisjoint(after)
    assert b"former run" not in after["worker.log"]


def test_a_crashed_start_leaves_its_log_alone_and_is_not_in_the_way(launch, tmp_path, monkeypatch):
    interpreter, stub = tmp_path / "broken", os.environ["POC_TORCH_PYTHON"]
    interpreter.write_text("#!/bin/sh\necho the installation is broken >&2\nexit 3\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("POC_TORCH_PYTHON", str(interpreter))
    for _ in range(2):
        with pytest.raises(WorkerCrashed, match="the installation is broken"):
            launch(SHORT, tmp_path / "run")
        log = {"worker.log": b"the installation is broken\n"}
        assert contents(tmp_path / "run") == log
    monkeypatch.setenv("POC_TORCH_PYTHON", stub)
    launch(SHORT, tmp_path / "run")
    assert RunFolder(tmp_path / "run").read_run()["status"] == "finished"


@pytest.mark.parametrize("place", ["data", "network"])
def test_a_crash_before_training_leaves_a_finished_run_as_it_was(
    place, launch, tmp_path, monkeypatch
):
    """The worker dies while it opens the data, or while it builds the network."""
    folder = tmp_path / "run"
    launch(SHORT, folder)
    before = contents(folder)
    monkeypatch.setenv("STUB_DIES_AT", place)
    with pytest.raises(WorkerCrashed, match="worker died with exit status"):
        launch([*SHORT, "seed=5"], folder, overwrite=True)
    assert contents(folder) == before
    assert RunFolder(folder).read_run()["status"] == "finished"
    monkeypatch.delenv("STUB_DIES_AT")
    launch([*SHORT, "seed=5"], folder, overwrite=True)
    assert RunFolder(folder).read_run()["run"]["seed"] == 5


def test_a_run_on_a_relative_path_is_read_and_resumed_from_elsewhere(
    launch, material, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = [*RUN, "num_epochs=1", "min_validation_images=1"]
    launch([*settings, "data.source=folder:images"], tmp_path / "run")
    record = RunFolder(tmp_path / "run").read_run()
    assert record["run"]["data"]["source"] == f"folder:{tmp_path}/images"
    assert record["data"]["relative_path"] == "../images"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with open_trained(tmp_path / "run").data as data:
        assert not data.notes
    # As if it had been stopped; then again, with data that has been moved.
    silent = {"command": "", "report": lambda event: None}
    for place, given in (("images", None), ("moved", f"folder:{tmp_path}/moved")):
        if given:
            (tmp_path / "images").rename(tmp_path / place)
        RunFolder(tmp_path / "run").mark("interrupted")
        if given:
            with pytest.raises(UsageError, match="--data folder:PATH"):
                resume_run(tmp_path / "run", **silent)
        resume_run(tmp_path / "run", data=given, **silent)
        assert RunFolder(tmp_path / "run").read_run()["status"] == "finished"
    (tmp_path / "moved" / "a").rename(tmp_path / "moved" / "c")
    RunFolder(tmp_path / "run").mark("interrupted")
    with pytest.raises(UsageError, match="data has changed"):
        resume_run(tmp_path / "run", data=given, **silent)


# Processes that end in the first writes of a run, before the file has its name.
KILLED_WRITES = """
import os, sys
from poc.shared.engine.folder.run_folder import RunFolder
folder = RunFolder(sys.argv[1])
os.fsync = lambda descriptor: os._exit(0)
for write in (folder.keep_room, lambda: folder.write_run({})):
    if os.fork() == 0:
        write()
    os.wait()
"""


def leave_halves(folder):
    """Leave what killed processes leave; returns the files."""
    subprocess.run([sys.executable, "-c", KILLED_WRITES, folder], check=True)
    found = list(folder.glob(".part-*"))
    assert len(found) == 2
    return found


def test_a_start_that_was_killed_is_not_in_the_way(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (LOCK, "worker.log", ".worker.log.former", ".run.json.room"):
        (folder / name).write_text("half")
    leave_halves(folder)
    for overwrite in (False, True):
        with starting(folder, overwrite=overwrite):
            pass
    (folder / "thesis.tex").write_text("mine")
    with (
        pytest.raises(UsageError, match="already has content"),
        starting(folder, overwrite=False),
    ):
        pass
    with pytest.raises(UsageError, match="no run folder"), starting(folder, overwrite=True):
        pass
    assert (folder / "thesis.tex").read_text() == "mine"


def test_halves_of_a_start_are_removed_by_its_end_or_by_the_next_run(tmp_path):
    folder = tmp_path / "run"
    with starting(folder, overwrite=False):
        leave_halves(folder)
    assert not folder.exists()
    folder.mkdir()
    halves = leave_halves(folder)
    RunFolder(folder).remove_results()
    assert not any(path.exists() for path in halves)


def test_a_lock_that_was_taken_away_is_held_by_nobody(tmp_path):
    """Between opening the file and locking it, its owner may have ended and removed it."""
    real_open = os.open

    def open_late(path, *arguments):
        descriptor = real_open(path, *arguments)
        (tmp_path / LOCK).unlink()
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_late)
        with pytest.raises(UsageError, match="a process holds"), hold_lock(tmp_path):
            pass
    with hold_lock(tmp_path):
        pass


def test_of_many_starts_at_once_one_holds_the_folder(tmp_path):
    """Each that holds it fails at once and takes everything away under the others' feet."""
    holders, most, held = [], [], threading.Lock()

    def start():
        for _ in range(50):
            try:
                with starting(tmp_path / "run", overwrite=False):
                    with held:
                        holders.append(1)
                        most.append(len(holders))
                    holders.pop()
            except (UsageError, FileNotFoundError):
                pass

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most
    assert max(most) == 1
    # The last one may have come while the folder of another was still there.
    assert not (tmp_path / "run").exists() or RunFolder(tmp_path / "run").is_unused()
