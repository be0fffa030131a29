"""Starting `poc` as a process, ending it, and what must be equal afterwards."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.helpers.workers import stub

SECONDS_AT_MOST = 300
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
RUN = [
    *("--method", "scratch", "--model", "lightnet_plain"),
    *("--set", "model.widths=[2,2]", "--set", "model.k=1"),
    *("--set", "data.split.train_per_class=6", "--set", "data.train_view.horizontal_flip=0.5"),
    *("--set", "schedule.name=cosine", "--set", "early_stopping.reduce_patience=1"),
    *("--batch-size", "10", "--epochs", "4"),
]
# The same with draws with replacement, and a policy.
DRAWN = [
    *RUN,
    *("--set", "data.sampling=balanced", "--set", "data.train_view.policy=trivialaugment"),
]
# The same with a body that never moves and takes more than a block of the disk.
FROZEN = [
    *("--method", "transfer", "--weights", "none", "--model", "lightnet_plain"),
    *("--set", "model.layer=conv2d", "--set", "model.widths=[8,16]", *RUN[8:]),
]


def stub_environment(folder, seconds_a_step=0.02):
    """Variables that make the backend `torch` the stub."""
    script, interpreter = Path(stub.__file__), folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(script)])} "$@"\n')
    interpreter.chmod(0o755)
    return {"POC_TORCH_PYTHON": str(interpreter), "STUB_SECONDS_A_STEP": str(seconds_a_step)}


@dataclass
class Command:
    """A running `poc`."""

    process: subprocess.Popen
    folder: Path

    @classmethod
    def start(cls, folder, *arguments, environment=None, log=None):
        process = subprocess.Popen(
            [sys.executable, "-m", "poc.cli", "run", *map(str, arguments)],
            stdout=log or subprocess.DEVNULL,
            stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD, **(environment or {})},
            start_new_session=True,
        )
        return cls(process, folder)

    def wait_for_start(self, before):
        """Until training has begun, which rewrites `run.json`; false: the process ended."""
        deadline = time.monotonic() + SECONDS_AT_MOST
        while stamp(self.folder) == before:
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "the run does not begin"
            time.sleep(0.005)
        return True

    def workers(self):
        """Process ids of the worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            return [int(pid) for pid in children.read_text().split()]
        return []

    def kill(self, who):
        """SIGKILL to the command, its worker or both; waits until neither writes any more."""
        workers = self.workers()
        victims = {"command": [self.process.pid], "worker": workers}
        for pid in victims.get(who, [self.process.pid, *workers]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(SECONDS_AT_MOST)
        wait_until_free(self.folder)

    def wait(self):
        return self.process.wait(SECONDS_AT_MOST)


def stamp(folder):
    """Changes when `run.json` is written."""
    with suppress(OSError):
        return (folder / "run.json").stat().st_mtime_ns
    return None


def wait_until_free(folder):
    """Until no process holds the run's lock: a worker whose command was killed ends by itself."""
    import fcntl

    deadline = time.monotonic() + SECONDS_AT_MOST
    if not (folder / "lock").exists():
        return
    with (folder / "lock").open() as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < deadline, "a worker outlives its command"
                time.sleep(0.02)
            else:
                return


def facts(folder):
    """Everything that must be bit-equal: metrics without clocks, weights, predictions, the row."""
    output = RunFolder(folder)
    clocks = ("_seconds", "_per_second", "_bytes", "folder", "_processor_share")
    rows = [*output.read_metrics(), output.read_summary()]
    files = {
        path.name: path.read_bytes()
        for path in output.checkpoints.glob("*.safetensors")
        if not path.name.startswith("resume")
    }
    with np.load(output.path / "predictions.npz") as arrays:
        predictions = {name: arrays[name].tobytes() for name in arrays.files}
    kept = [{k: v for k, v in row.items() if not k.endswith(clocks)} for row in rows]
    return {"rows": kept, **files, **predictions}


def begin(backend, folder, environment, save_every="2", run=RUN):
    """Start a new run, or go on with the one of the folder where it has begun."""
    if (folder / "run.json").exists():
        return Command.start(
            folder, "--resume", folder, "--save-every", save_every, environment=environment
        )
    arguments = ["--backend", backend, *run, "--save-every", save_every, "--output", folder]
    return Command.start(folder, *arguments, environment=environment)


def kill_at_random(backend, tmp_path, environment, num_kills, run=RUN):
    """Kill runs at random moments until `num_kills` are done; each chain must end like `whole`.

    Returns:
        (kills that hit, runs that were finished, kills before anything had begun).
    """
    whole = tmp_path / "whole"
    command = begin(backend, whole, environment, run=run)
    assert command.wait_for_start(None)
    started = time.monotonic()
    assert command.wait() == 0
    seconds, expected = time.monotonic() - started, facts(whole)
    draw = random.Random(7)
    kills = finished = early = 0
    while kills < num_kills:
        folder = tmp_path / f"run{finished}"
        while not is_finished(folder):
            before = stamp(folder)
            command = begin(backend, folder, environment, run=run)
            if draw.random() < 0.1:
                time.sleep(draw.uniform(0, 2.0))
            elif command.wait_for_start(before):
                time.sleep(draw.uniform(0, seconds))
            is_hit = command.process.poll() is None
            # A machine that was busy at first would else never be hit again.
            seconds *= 1.0 if is_hit else 0.8
            command.kill(draw.choice(["command", "worker", "both"]))
            assert is_hit or command.process.returncode == 0
            kills += is_hit
            early += is_hit and not (folder / "run.json").exists()
        assert facts(folder) == expected
        finished += 1
    return kills, finished, early


def is_finished(folder):
    """Whether the run has ended by itself."""
    if not (folder / "run.json").exists():
        return False
    return RunFolder(folder).read_run()["status"] == "finished"


def is_alive(pid):
    """Whether a process runs: one that has ended and is not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
