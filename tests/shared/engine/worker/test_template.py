"""Cells of a sweep are forked from a template: as good as new, apart from each other, no orphans.

Where no framework is needed, the backend `torch` is the stub.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.executors import LocalExecutor
from poc.shared.engine.launch.sweep import run_sweep
from poc.shared.engine.server import forking
from poc.shared.engine.server.forking import can_fork, end_with_command
from poc.shared.engine.worker.forked_process import UNKNOWN_STATUS, ForkedProcess
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.engine.worker.template import CURRENT
from poc.shared.spec.reading.sweep import load_sweep
from poc.tests.helpers.commands.processes import (
    ONE_THREAD,
    RUN,
    facts,
    is_alive,
    stub_environment,
)
from poc.tests.helpers.workers import stub

SMALL = [
    *("method=scratch", "model=lightnet_plain", "model.widths=[2,2]", "model.k=1"),
    *("data.split.train_per_class=6", "data.batch_size=10", "num_epochs=1"),
]
SECONDS_TO_END = 10.0
# Another net in another precision, a loss that is not finite, and the cell that is compared.
CELLS = """
method = "scratch"
num_epochs = 2
data.split.train_per_class = 6
data.batch_size = 10
[[grid]]
model = "simple_cnn"
precision = "float64"
[[grid]]
model = "lightnet_residual"
optimizer.name = "sgd"
optimizer.learning_rate = 1e30
[[grid]]
model = "lightnet_plain"
widths = [[16, 16]]
"""


def sweep(cells, output, jobs=1, watch=lambda cell, event: None):
    return run_sweep(cells, output, LocalExecutor(jobs), command="poc sweep", watch=watch)


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """Makes the backend `torch` the stub; gives the list of processes that were started."""
    for name, value in {**ONE_THREAD, **stub_environment(tmp_path, 0.05)}.items():
        monkeypatch.setenv(name, value)
    found = tmp_path / "starts"
    script = shlex.join([sys.executable, str(Path(stub.__file__))])
    # The kind of standard input: a template's is a socket.
    note = f'readlink /proc/self/fd/0 | cut -d: -f1 >> "{found}"'
    (tmp_path / "python").write_text(f'#!/bin/sh\n{note}\nexec {script} "$@"\n')
    return lambda: found.read_text().split() if found.exists() else []


def seeds(count, *more):
    return load_sweep(None, ["backend=torch", *SMALL, *more], [], count)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_process_is_started_and_each_cell_has_one_of_its_own(jobs, starts, tmp_path):
    workers, others = set(), {worker._process.pid for worker in LIVE}

    def watch(cell, event):
        workers.update({worker._process.pid for worker in LIVE} - others)

    rows = sweep(seeds(4), tmp_path / "sweep", jobs, watch)
    assert [row["status"] for row in rows] == ["finished"] * 4
    assert starts() == ["socket"]
    assert len(workers) == 4
    assert not any(map(is_alive, workers))
    assert not CURRENT


def test_a_single_cell_has_no_template(starts, tmp_path):
    assert sweep(seeds(1), tmp_path / "sweep")[0]["status"] == "finished"
    assert starts() == ["pipe"]


def test_a_cell_of_another_environment_is_started_afresh(starts, tmp_path, monkeypatch):
    monkeypatch.delenv("POC_OTHER", raising=False)

    def watch(cell, event):
        if event["event"] == "epoch":
            os.environ["POC_OTHER"] = cell if cell == "seed=0" else ""
            if cell == "seed=1":
                del os.environ["POC_OTHER"]

    rows = sweep(seeds(3), tmp_path / "sweep", 1, watch)
    assert [row["status"] for row in rows] == ["finished"] * 3
    assert starts() == ["socket", "pipe"]


def test_a_killed_cell_loses_itself_alone(starts, tmp_path):
    others = set(LIVE)

    def watch(cell, event):
        if cell == "seed=1" and event["event"] == "step":
            (worker,) = set(LIVE) - others
            os.kill(worker._process.pid, signal.SIGKILL)

    rows = sweep(seeds(3), tmp_path / "sweep", 1, watch)
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert "died with exit status -9" in rows[1]["error"]
    assert rows[1]["failure"].startswith("killed")
    assert starts() == ["socket"]


def test_a_killed_template_costs_no_cell(starts, tmp_path):
    def watch(cell, event):
        if cell == "seed=0" and event["event"] == "epoch":
            CURRENT[-1]._made["torch"]._process.kill()
            CURRENT[-1]._made["torch"]._process.wait()

    rows = sweep(seeds(4), tmp_path / "sweep", 1, watch)
    assert [row["status"] for row in rows] == ["finished"] * 4
    # The second cell finds it dead and starts afresh; the third one makes another.
    assert starts() == ["socket", "pipe", "socket"]


def test_a_template_that_does_not_start_costs_no_cell(starts, tmp_path, monkeypatch):
    script = tmp_path / "python"
    refusal = '[ "$(readlink /proc/self/fd/0 | cut -d: -f1)" = socket ] && exit 3'
    lines = script.read_text().splitlines()
    script.write_text("\n".join([*lines[:2], refusal, *lines[2:]]) + "\n")
    rows = sweep(seeds(3), tmp_path / "sweep")
    assert [row["status"] for row in rows] == ["finished"] * 3
    assert starts() == ["socket", "pipe", "pipe", "pipe"]


def descendants(number):
    """Process ids below a process; each thread has its own."""
    found = []
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found + [each for child in found for each in descendants(child)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_command(number, tmp_path):
    environment = {**os.environ, **ONE_THREAD, **stub_environment(tmp_path, 0.3)}
    arguments = ["--seeds", "3", "--set", "backend=torch", *RUN, "--output", tmp_path / "sweep"]
    command = subprocess.Popen(
        [sys.executable, "-m", "poc.cli", "sweep", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "sweep" / "seed=0" / "run.json").exists():
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = descendants(command.pid)
    # The template, and its worker.
    assert len(below) == 2
    command.send_signal(number)
    assert command.wait(60) == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    deadline = time.monotonic() + SECONDS_TO_END
    while any(map(is_alive, below)):
        assert time.monotonic() < deadline, below
        time.sleep(0.05)
    assert not (tmp_path / "sweep" / "seed=1").exists()


def test_a_template_ends_with_its_command_while_it_imports(monkeypatch):
    ended = []
    imported = threading.Event()

    def end(status):
        ended.append(status)
        imported.set()

    monkeypatch.setattr(forking.os, "_exit", end)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    watch = threading.Thread(target=end_with_command, args=(its, imported))
    watch.start()
    time.sleep(0.3)
    assert not ended
    ours.close()
    watch.join(5)
    assert ended == [143]
    its.close()


def test_what_has_threads_or_a_gpu_is_not_forked(tmp_path, monkeypatch):
    # The test's own process may have threads of other tests.
    others = threading.active_count() - 1
    count = threading.active_count
    monkeypatch.setattr(forking.threading, "active_count", lambda: count() - others)
    assert can_fork(tmp_path)
    for name in ("nvidia0", "kfd"):
        (tmp_path / name).touch()
        assert not can_fork(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "nvidiactl").touch()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert not can_fork(tmp_path)
    stop.set()
    thread.join()
    assert can_fork(tmp_path)


def test_the_end_of_a_worker_whose_template_is_gone_is_seen():
    child = subprocess.Popen(["sleep", "30"])
    reading, writing = os.pipe()
    requests, replies = os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, os.O_RDONLY)
    process = ForkedProcess(child.pid, requests, replies, reading)
    assert process.poll() is None
    os.close(writing)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.kill()
    child.wait()
    assert process.wait(5) == UNKNOWN_STATUS
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize(
    "backend",
    [pytest.param("torch", marks=pytest.mark.torch), pytest.param("tf", marks=pytest.mark.tf)],
)
def test_a_forked_cell_has_the_bits_of_a_fresh_one(backend, tmp_path, monkeypatch):
    """After cells of another net, of another precision, and one whose loss is not finite.

    Two threads, so that libraries have threads when the template is forked.
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    monkeypatch.delenv(f"POC_{backend.upper()}_PYTHON", raising=False)
    (tmp_path / "cells.toml").write_text(CELLS)
    cells = load_sweep(tmp_path / "cells.toml", [f"backend={backend}"])
    rows = sweep(cells, tmp_path / "warm")
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert "finite" in rows[1]["error"]
    assert rows[2]["import_seconds"] < 0.1
    single = sweep(cells[-1:], tmp_path / "fresh")
    assert single[0]["import_seconds"] > 0.1
    name = cells[-1].name
    assert facts(tmp_path / "warm" / name) == facts(tmp_path / "fresh" / name)
    records = [RunFolder(tmp_path / part / name).read_run() for part in ("warm", "fresh")]
    assert records[0]["environment"] == records[1]["environment"]
