"""Cells of a sweep that cannot go on for a while, or train elsewhere: nothing of theirs is lost."""

import fcntl
import json
import shutil
import socket
import subprocess
import threading

import pytest

from poc.shared.engine.folder.checkpoints import LATEST
from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.folder.run_folder import LOCK, RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.launch import sweep
from poc.shared.engine.training.non_finite import SIGN
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, Terminated
from poc.shared.spec.run import RunSpec
from poc.tests.faults.test_resume import RUN, train
from poc.tests.helpers.workers import stub


def cell_task(folder):
    run = RunSpec.parse({**RUN, "backend": "torch"}, "").model_dump(mode="json")
    described = {"settings": {}, "command": "", "executor": {}}
    return {"name": "c", "run": run, "folder": str(folder), **described}


@pytest.fixture
def stopped_cell(tmp_path, monkeypatch):
    """A cell that was stopped after seven steps."""
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with pytest.raises(Terminated):
        train(tmp_path / "cell", RUN)
    return tmp_path / "cell"


@pytest.mark.parametrize("interpreter", ["/nowhere", "/bin/false"])
def test_a_cell_that_cannot_go_on_now_can_go_on_later(interpreter, stopped_cell, monkeypatch):
    """Another environment, or data that are gone for a while: the checkpoint is worth keeping."""
    monkeypatch.setenv("POC_TORCH_PYTHON", interpreter)
    before = RunFolder(stopped_cell).read_run()
    row = sweep.run_cell(cell_task(stopped_cell))
    assert (row["status"], row["failure"]) == ("failed", "error")
    assert RunFolder(stopped_cell).read_run() == before
    assert sweep.can_resume(stopped_cell)


@pytest.fixture
def failing_resume(monkeypatch):
    """Returns a function that lets a resume fail after it has written the record."""

    def fail_with(error, save=False):
        def resume(path, **_):
            RunFolder(path).mark("running", resumes=[{}])
            if save:
                checkpoint = RunFolder(path).checkpoints / LATEST
                checkpoint.write_bytes(checkpoint.read_bytes() + b" ")
            RunFolder(path).mark("failed", error=str(error))
            raise error

        monkeypatch.setattr(sweep, "resume_run", resume)

    return fail_with


@pytest.mark.parametrize(
    "error", [CheckFailed("Memory ended on the GPU."), WorkerCrashed("killed"), OSError("gone")]
)
def test_a_resume_that_fails_before_its_next_checkpoint_can_be_tried_again(
    error, stopped_cell, failing_resume
):
    failing_resume(error)
    before = RunFolder(stopped_cell).read_run()
    row = sweep.run_cell(cell_task(stopped_cell))
    assert (row["status"], row["error"]) == ("failed", str(error))
    assert RunFolder(stopped_cell).read_run() == before
    assert sweep.can_resume(stopped_cell)


def test_a_resume_that_fails_later_or_by_its_numbers_has_failed(stopped_cell, failing_resume):
    failing_resume(WorkerCrashed("killed"), save=True)
    sweep.run_cell(cell_task(stopped_cell))
    assert RunFolder(stopped_cell).read_run()["status"] == "failed"
    RunFolder(stopped_cell).mark("interrupted")
    failing_resume(CheckFailed(f"Got values of the loss {SIGN} 9."))
    sweep.run_cell(cell_task(stopped_cell))
    assert RunFolder(stopped_cell).read_run()["status"] == "failed"


def test_a_cell_whose_process_is_lost_can_go_on(stopped_cell, tmp_path):
    """A node of a cluster is gone: nobody has written how the run ended."""
    RunFolder(stopped_cell).mark("running")
    row = sweep.record_lost(cell_task(stopped_cell), "the node is gone")
    assert row["status"] == "failed"
    assert sweep.can_resume(stopped_cell)
    sweep.record_lost(cell_task(tmp_path / "new"), "the node is gone")
    assert RunFolder(tmp_path / "new").read_run()["status"] == "failed"


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_a_cell_that_trains_elsewhere_keeps_its_record(status, stopped_cell):
    folder = RunFolder(stopped_cell)
    folder.mark(status)
    if status == "running":
        # It has not saved yet.
        shutil.rmtree(folder.checkpoints)
    before = folder.read_run()
    with hold_lock(stopped_cell):
        row = sweep.run_cell(cell_task(stopped_cell))
    assert row["status"] == "failed"
    assert "Expected one process per folder" in row["error"]
    assert folder.read_run() == before


def test_a_cell_is_looked_at_when_the_process_of_a_killed_sweep_has_saved(
    stopped_cell, tmp_path, monkeypatch
):
    """Its first checkpoint would else be taken for nothing, and deleted."""
    called, folder, aside = [], RunFolder(stopped_cell), tmp_path / "aside"
    for name in ("launch_run", "resume_run"):
        monkeypatch.setattr(sweep, name, lambda *a, name=name, **o: called.append(name) or {})
    folder.mark("running")
    folder.checkpoints.rename(aside)
    dead = subprocess.Popen(["true"])
    dead.wait()
    (stopped_cell / LOCK).write_text(
        json.dumps({"process": dead.pid, "machine": socket.gethostname()})
    )
    with (stopped_cell / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def save():
            aside.rename(folder.checkpoints)
            folder.mark("interrupted")
            fcntl.flock(file, fcntl.LOCK_UN)

        timer = threading.Timer(0.5, save)
        timer.start()
        sweep.run_cell(cell_task(stopped_cell))
        timer.join()
    assert called == ["resume_run"]
