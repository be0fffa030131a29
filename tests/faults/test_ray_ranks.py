"""Ranks of a run on a Ray cluster of this machine: started, killed, stopped and resumed.

Each test starts a cluster and ends it.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.helpers.commands.processes import (
    RUN,
    Command,
    facts,
    stamp,
    stub_environment,
    wait_until_free,
)

pytest.importorskip("ray", reason="ray is not installed: pip install 'poc[ray]'")
ON_RAY = ["--engine", "ray", "--processes", "2"]
SECONDS_TO_END = 20
BACKENDS = [
    pytest.param("tf", marks=pytest.mark.tf),
    pytest.param("torch", marks=pytest.mark.torch),
]


def begin(folder, environment, *options, backend="torch"):
    arguments = ["--backend", backend, *RUN, "--output", folder]
    if (folder / "run.json").exists():
        arguments = ["--resume", folder]
    with folder.with_suffix(".txt").open("w") as log:
        return Command.start(
            folder, *arguments, "--save-every", "2", *options, environment=environment, log=log
        )


def finish(folder, environment, *options, backend="torch"):
    command = begin(folder, environment, *options, backend=backend)
    assert command.wait() == 0, folder.with_suffix(".txt").read_text()
    return facts(folder)


def second_rank(environment):
    """Process id of the worker with rank 1, among those that have the test's own variables."""
    wanted = {b"POC_RANK=1", f"POC_TORCH_PYTHON={environment['POC_TORCH_PYTHON']}".encode()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted <= set((process / "environ").read_bytes().split(b"\0")):
                return int(process.name)
    raise AssertionError("rank 1 is not there")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_workers_of_a_cluster_write_what_two_processes_write(backend, tmp_path):
    expected = finish(tmp_path / "local", {}, "--processes", "2", backend=backend)
    assert finish(tmp_path / "ray", {}, *ON_RAY, backend=backend) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "local",
        "local.txt",
        "ray",
        "ray.txt",
    ]


def test_a_run_on_a_cluster_is_stopped_and_goes_on_here(tmp_path):
    folder, environment = tmp_path / "run", stub_environment(tmp_path, seconds_a_step=0.2)
    command = begin(folder, environment, *ON_RAY)
    assert command.wait_for_start(None)
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, folder.with_suffix(".txt").read_text()
    assert "which is saved: go on with `poc run --resume" in folder.with_suffix(".txt").read_text()
    assert RunFolder(folder).read_run()["status"] == "interrupted"
    quick = stub_environment(tmp_path)
    assert finish(folder, quick, "--processes", "2") == finish(
        tmp_path / "whole", quick, "--processes", "2"
    )


def kill_a_rank(folder, environment, *options):
    """Start a run on a cluster, kill rank 1 after a checkpoint; return code, seconds and text."""
    command = begin(folder, environment, *ON_RAY, *options)
    assert command.wait_for_start(None)
    deadline = time.monotonic() + 60
    while RunFolder(folder).read_checkpoint() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(second_rank(environment), signal.SIGKILL)
    began = time.monotonic()
    code = command.wait()
    return code, time.monotonic() - began, folder.with_suffix(".txt").read_text()


@pytest.mark.slow
def test_a_dead_rank_ends_a_run_on_a_cluster(tmp_path):
    folder, environment = tmp_path / "run", stub_environment(tmp_path, seconds_a_step=0.2)
    code, seconds, text = kill_a_rank(folder, environment)
    assert code != 0
    assert seconds < SECONDS_TO_END
    assert "rank 1 of 2, the torch worker died with exit status -9" in text, text
    assert stamp(folder) is not None
    wait_until_free(folder)


@pytest.mark.slow
def test_a_cluster_starts_ranks_again(tmp_path):
    folder, environment = tmp_path / "run", stub_environment(tmp_path, seconds_a_step=0.2)
    code, _, text = kill_a_rank(folder, environment, "--max-restarts", "1")
    assert code == 0, text
    assert "Restart 1 of 1: a rank has died." in text
    quick = stub_environment(tmp_path)
    assert facts(folder) == finish(tmp_path / "whole", quick, "--processes", "2")


def test_a_cluster_that_is_too_small_is_refused(tmp_path, monkeypatch):
    from poc.shared.engine.launch import ray_ranks
    from poc.shared.engine.launch.course import Course
    from poc.shared.errors import UsageError

    class SmallRay:
        def __init__(self):
            self.ended = 0

        def cluster_resources(self):
            return {"CPU": 2.0}

        def shutdown(self):
            self.ended += 1

    ray = SmallRay()
    monkeypatch.setattr(ray_ranks, "connect", lambda *_: None)
    course = Course(engine="ray", address="head:6379", processes=3)
    with (
        pytest.raises(UsageError, match=r"^Got --processes 3 for a Ray cluster of 2 processors"),
        ray_ranks.connected(ray, course),
    ):
        pass
    assert ray.ended == 1
