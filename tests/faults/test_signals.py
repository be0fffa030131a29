"""Signals, locks and dead processes, with real processes over the stub backend."""

import fcntl
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.analysis.runs.reading import read_run
from poc.shared.engine.folder import lock
from poc.shared.engine.folder.lock import hold_lock, is_held, is_stale
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.errors import UsageError
from poc.tests.helpers.commands.processes import (
    RUN,
    Command,
    facts,
    is_alive,
    stub_environment,
    wait_until_free,
)

LONG = [*RUN[:-1], "200", "--save-every", "1000"]


CODES = [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]


@pytest.fixture
def running(tmp_path):
    """Starts a long run of the stub; gives the command, once training has begun, and its output."""
    commands = []

    def start(*more):
        log = (tmp_path / "output").open("w+")
        folder = tmp_path / "run"
        environment = stub_environment(tmp_path)
        arguments = ["--backend", "torch", *LONG, *more, "--output", folder]
        command = Command.start(folder, *arguments, environment=environment, log=log)
        commands.append((command, log))
        assert command.wait_for_start(None)
        time.sleep(0.3)
        return command, tmp_path / "output"

    yield start
    for command, log in commands:
        if command.process.poll() is None:
            command.kill("both")
        log.close()


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_to_the_command_finishes_the_step_and_saves(number, code, running, tmp_path):
    command, output = running()
    command.process.send_signal(number)
    assert command.wait() == code
    text = output.read_text()
    assert "which is saved: go on with `poc run --resume" in text
    assert "Traceback" not in text
    folder = RunFolder(tmp_path / "run")
    assert folder.read_run()["status"] == "interrupted"
    assert folder.read_checkpoint().loop.step > 0


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_the_worker_still_saves(running, tmp_path):
    command, _ = running()
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.wait() == 130
    assert RunFolder(tmp_path / "run").read_checkpoint().loop.step > 0


@pytest.mark.slow
def test_a_signal_to_the_worker_alone_does_the_same(running, tmp_path):
    command, _ = running()
    (worker,) = command.workers()
    os.kill(worker, signal.SIGTERM)
    assert command.wait() == 143
    assert RunFolder(tmp_path / "run").read_run()["status"] == "interrupted"


def test_a_signal_before_training_ends_at_once(tmp_path):
    command = Command.start(
        tmp_path / "run",
        *("--backend", "torch", *LONG, "--output", tmp_path / "run"),
        environment=stub_environment(tmp_path),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "worker.log").exists():
        assert command.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130
    assert not (tmp_path / "run").exists()


def test_a_worker_without_its_command_saves_and_ends(running, tmp_path):
    command, _ = running()
    # Past the first step on a busy machine too: before it, there is nothing to save.
    time.sleep(1.0)
    command.kill("command")
    folder = RunFolder(tmp_path / "run")
    assert folder.read_run()["status"] == "interrupted"
    assert folder.read_checkpoint().loop.step > 0


def test_a_killed_worker_is_told_with_its_last_log_lines(running, tmp_path):
    command, output = running()
    (tmp_path / "run" / "worker.log").write_text("the framework's last words\n")
    (worker,) = command.workers()
    os.kill(worker, signal.SIGKILL)
    assert command.wait() == 1
    text = output.read_text()
    for part in ("exit status -9", "the framework's last words"):
        assert part in text
    assert "Something ended it by signal 9" in text
    assert "memory ended" not in text
    assert "Traceback" not in text
    assert RunFolder(tmp_path / "run").read_run()["status"] == "failed"


def test_a_worker_whose_child_keeps_the_line_open_is_not_waited_for(tmp_path, monkeypatch):
    """The pipe's end would only show when the child ends."""
    script = tmp_path / "python"
    pid = tmp_path / "pid"
    script.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {pid}\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setenv("POC_TORCH_PYTHON", str(script))
    started = time.monotonic()
    with pytest.raises(WorkerCrashed, match="exit status -9"):
        Worker("torch")
    assert time.monotonic() - started < 10
    with suppress(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_second_process_on_a_run_folder_is_refused(running, tmp_path, capfd):
    command, _ = running()
    for arguments in (
        ["--resume", tmp_path / "run"],
        ["--backend", "torch", *RUN, "--output", tmp_path / "run", "--overwrite"],
    ):
        with (tmp_path / "second").open("w+") as log:
            second = Command.start(tmp_path / "run", *arguments, log=log)
            assert second.wait() == 2
        text = (tmp_path / "second").read_text()
        assert f"process {command.process.pid} on " in text
    assert command.process.poll() is None


def test_the_lock_of_a_dead_process_is_free(running, tmp_path):
    command, _ = running()
    with pytest.raises(UsageError, match="holds"), hold_lock(tmp_path / "run"):
        pass
    with pytest.raises(UsageError, match="half-written run that is still running"):
        read_run(tmp_path / "run")
    command.kill("both")
    assert (tmp_path / "run" / "lock").read_text(), "the dead process still stands in the file"
    assert not is_held(tmp_path / "run")
    with pytest.raises(UsageError, match=r"no process of this machine holds it.*poc run --resume"):
        read_run(tmp_path / "run")
    with hold_lock(tmp_path / "run"):
        assert is_held(tmp_path / "run")


def test_a_look_at_the_lock_stops_nobody_from_taking_it(tmp_path, monkeypatch):
    """Whoever looks holds it for a moment, and has no name."""
    monkeypatch.setattr(lock, "SECONDS_FOR_A_STRANGER", 5.0)
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        release = threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        with hold_lock(tmp_path):
            pass
        release.join()
        monkeypatch.setattr(lock, "SECONDS_FOR_A_STRANGER", 0.5)
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(UsageError, match="which a process holds"), hold_lock(tmp_path):
            pass


def test_without_locks_of_the_file_system_a_dead_owner_is_stale(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("poc.shared.engine.folder.lock.fcntl.flock", unsupported)
    ended = subprocess.Popen(["true"])
    ended.wait()
    machine = os.uname().nodename
    (tmp_path / "lock").write_text(f'{{"process": {ended.pid}, "machine": "{machine}"}}')
    with hold_lock(tmp_path):
        pass
    for owner in (f'{{"process": 1, "machine": "{machine}"}}', '{"process": 7, "machine": "x"}'):
        (tmp_path / "lock").write_text(owner)
        with pytest.raises(UsageError, match="delete 'lock' there"), hold_lock(tmp_path):
            pass
    assert is_stale({"process": ended.pid, "machine": machine})


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    environment = stub_environment(tmp_path)
    folders = [tmp_path / "whole", tmp_path / "parts"]
    for folder in folders:
        arguments = ["--backend", "torch", *RUN, "--output", folder]
        command = Command.start(folder, *arguments, environment=environment)
        if folder is folders[1]:
            assert command.wait_for_start(None)
            time.sleep(0.3)
            command.process.send_signal(signal.SIGINT)
        assert command.wait() == (130 if folder is folders[1] else 0)
    resumed = Command.start(folders[1], "--resume", folders[1], environment=environment)
    assert resumed.wait() == 0
    wait_until_free(folders[1])
    assert facts(folders[1]) == facts(folders[0])


def children_of(pid):
    """Processes that any thread of a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["worker", "both"])
def test_processes_that_read_data_end_with_their_worker(victims, tmp_path):
    """Killed, it cannot end them; they would wait for ever."""
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(40):
            pixels = draw.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    settings = [
        *("data.num_workers=2", "data.cache=off", "data.image_size=[32,32]", "data.batch_size=8"),
        *("data.train_view.horizontal_flip=0.5", "early_stopping.min_validation_images=0"),
    ]
    folder = tmp_path / "run"
    command = Command.start(
        folder,
        *("--backend", "torch", "--method", "lightlayers", "--epochs", "500", "--output", folder),
        *("--data", f"folder:{tmp_path / 'images'}"),
        *(part for text in settings for part in ("--set", text)),
        environment=stub_environment(tmp_path),
    )
    assert command.wait_for_start(None)
    (worker,) = command.workers()
    while len(children_of(worker)) < 2:
        assert command.process.poll() is None
        time.sleep(0.05)
    time.sleep(3)
    readers = children_of(worker)
    command.kill(victims)
    deadline = time.monotonic() + 20
    while left := [pid for pid in readers if is_alive(pid)]:
        assert time.monotonic() < deadline, f"{left} of {readers} are left"
        time.sleep(0.2)
    print(f"SIGKILL ({victims}) with {len(readers)} processes that read data: none is left")
