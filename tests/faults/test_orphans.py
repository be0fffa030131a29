"""Workers whose command was killed: they end soon, whatever they do, and save what can be saved."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.worker import orphan
from poc.shared.engine.worker.interruption import Interruption, has_unsaved_steps
from poc.shared.engine.worker.orphan import OrphanWatch, end_orphan, wait_until_closed
from poc.tests.helpers.commands.processes import (
    RUN,
    Command,
    is_alive,
    stub_environment,
    wait_until_free,
)

# First steps that take many seconds: TensorFlow traces and optimises, PyTorch computes.
LONG_FIRST_STEP = {
    "tf": ["--model", "inception_v3", "--set", "data.image_size=96x96", "--batch-size", "4"],
    "torch": ["--model", "inception_v3", "--set", "data.image_size=299x299", "--batch-size", "32"],
}
SECONDS_TO_END = 3.0


def seconds_after_kill(folder, seconds, *arguments, environment=None):
    """Seconds that a worker lives after its command, killed so long after training has begun."""
    command = Command.start(folder, *arguments, "--output", folder, environment=environment)
    assert command.wait_for_start(None)
    (worker,) = command.workers()
    time.sleep(seconds)
    assert command.process.poll() is None
    started = time.monotonic()
    command.process.kill()
    command.process.wait()
    while is_alive(worker):
        assert time.monotonic() - started < 120
        time.sleep(0.01)
    wait_until_free(folder)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [pytest.param("tf", marks=pytest.mark.tf), pytest.param("torch", marks=pytest.mark.torch)],
)
def test_a_worker_in_its_first_step_ends_soon_after_its_command(backend, tmp_path):
    arguments = ["--backend", backend, "--method", "scratch", *LONG_FIRST_STEP[backend]]
    seconds = seconds_after_kill(tmp_path / "run", 1.5, *arguments)
    print(f"SIGKILL of the command in the first step, {backend}: its worker lived {seconds:.2f} s")
    assert seconds < SECONDS_TO_END


@pytest.mark.parametrize(
    ("step_seconds", "wait_seconds", "is_saved"), [(8.0, 0.3, False), (0.6, 2.0, True)]
)
def test_what_was_done_is_saved_and_where_nothing_was_the_step_ends(
    step_seconds, wait_seconds, is_saved, tmp_path
):
    """Killed in the first step it ends at once, in a later one after that step."""
    folder = tmp_path / "run"
    environment = stub_environment(tmp_path, step_seconds)
    arguments = ["--backend", "torch", *RUN, "--save-every", "1000"]
    seconds = seconds_after_kill(folder, wait_seconds, *arguments, environment=environment)
    assert seconds < SECONDS_TO_END
    checkpoint = RunFolder(folder).read_checkpoint()
    assert (checkpoint is not None) == is_saved
    assert checkpoint is None or 0 < checkpoint.loop.step < 6
    assert RunFolder(folder).read_run()["status"] == "interrupted"
    assert not RunFolder(folder).room.exists()


def test_a_run_has_unsaved_steps_from_a_step_to_its_checkpoint():
    run = Interruption()
    run.check()
    assert not has_unsaved_steps()
    with run.listening():
        assert has_unsaved_steps()
        run.has_unsaved = False
        assert not has_unsaved_steps()
    assert not has_unsaved_steps()


def test_a_line_is_closed_when_its_last_writer_is_gone_and_not_when_something_stands_in_it():
    reading, writing = os.pipe()
    second = os.dup(writing)
    os.write(writing, b"unread")
    watch = OrphanWatch(reading, end=lambda status: None)
    watch.start()
    os.close(writing)
    time.sleep(0.3)
    assert not watch.is_orphan
    watch.is_busy = False
    os.close(second)
    wait_until_closed(reading)
    time.sleep(0.3)
    # The main thread is idle: it reads the end by itself.
    assert not watch.is_orphan
    os.close(reading)


@pytest.mark.parametrize(("has_unsaved", "num_asked", "seconds"), [(True, 1, 7.0), (False, 2, 1.0)])
def test_an_orphan_is_asked_once_where_it_can_save_and_else_twice(
    has_unsaved, num_asked, seconds, monkeypatch
):
    asked, slept, ended = [], [], []
    monkeypatch.setattr(orphan, "SECONDS_TO_SAVE", 7.0)
    monkeypatch.setattr(orphan, "has_unsaved_steps", lambda: has_unsaved)
    monkeypatch.setattr(orphan.signal, "pthread_kill", lambda thread, number: asked.append(number))
    monkeypatch.setattr(orphan, "time", SimpleNamespace(sleep=slept.append))
    end_orphan(ended.append)
    assert asked == [signal.SIGTERM] * num_asked
    assert slept[num_asked:] == [seconds]
    assert ended == [143]
