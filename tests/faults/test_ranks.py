"""Faults of a run of several processes: a killed rank, Ctrl-C, a resume with another number.

The stub's ranks add up their gradients, so that each weight depends on all of them.
"""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.ranks.ports import local_addresses
from poc.tests.helpers.commands.processes import (
    RUN,
    SECONDS_AT_MOST,
    Command,
    facts,
    is_finished,
    stamp,
    stub_environment,
    wait_until_free,
)
from poc.tests.helpers.workers import stub

# A dead rank ends the others, and the command, within this time.
SECONDS_TO_END = 20
LONG_EPOCHS = 40
BACKENDS = [
    pytest.param("tf", marks=pytest.mark.tf),
    pytest.param("torch", marks=pytest.mark.torch),
]


def options_of(backend, folder, environment):
    """The run; a real framework takes the steps of the stub's epochs before a kill could come."""
    options = RUN if environment else [*RUN[:-1], LONG_EPOCHS]
    return ["--backend", backend, *options, "--output", folder]


def begin(backend, folder, environment, count=2):
    """Start a run, or go on with it; what the command prints goes into a text file beside it."""
    arguments = options_of(backend, folder, environment)
    if (folder / "run.json").exists():
        arguments = ["--resume", folder]
    arguments += ["--save-every", "2", "--processes", count]
    with folder.with_suffix(".txt").open("w") as log:
        return Command.start(folder, *arguments, environment=environment, log=log)


def children(pid):
    """Process ids of the ranks; the threads that started them have lists of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return sorted(found)


def finish(backend, folder, environment, count=2):
    command = begin(backend, folder, environment, count)
    assert command.wait() == 0, folder.with_suffix(".txt").read_text()
    return facts(folder)


def kill_one(backend, folder, environment, index, seconds):
    """Kill one rank after some seconds of training; return False if the run was over before."""
    command = begin(backend, folder, environment)
    if command.wait_for_start(stamp(folder)):
        time.sleep(seconds)
    ranks = children(command.process.pid)
    if len(ranks) < 2:
        command.wait()
        return False
    os.kill(ranks[index], signal.SIGKILL)
    killed = time.monotonic()
    code = command.wait()
    assert time.monotonic() - killed < SECONDS_TO_END
    wait_until_free(folder)
    text = folder.with_suffix(".txt").read_text()
    # A rank that is killed when it has done its work is missed by nobody.
    if code != 0:
        assert " of 2, the " in text, text
        assert "died with exit status -9" in text, text
        assert "Traceback" not in text.partition("\n  ")[0]
    return code != 0


def kill_at_random(backend, tmp_path, environment, num_kills):
    whole = tmp_path / "whole"
    command = begin(backend, whole, environment)
    assert command.wait_for_start(None)
    began = time.monotonic()
    assert command.wait() == 0, whole.with_suffix(".txt").read_text()
    # The last part of it writes the summary.
    training_seconds, expected = (time.monotonic() - began) / 2, facts(whole)
    draw, kills, number = random.Random(3), 0, 0
    while kills < num_kills:
        folder = tmp_path / f"run{number}"
        while not is_finished(folder) and kills < num_kills:
            seconds = draw.uniform(0, training_seconds)
            kills += kill_one(backend, folder, environment, draw.randrange(2), seconds)
        if not is_finished(folder):
            finish(backend, folder, environment)
        assert facts(folder) == expected
        number += 1


def test_a_killed_rank_ends_all_and_the_resume_is_exact(tmp_path):
    kill_at_random("torch", tmp_path, stub_environment(tmp_path), 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_twenty_kills_of_a_backend(backend, tmp_path):
    kill_at_random(backend, tmp_path, {}, 20)


def wait_for_a_save(folder):
    """Until the run has saved again: all ranks train then."""
    former, deadline = saved_step(folder), time.monotonic() + SECONDS_AT_MOST
    while saved_step(folder) == former:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def saved_step(folder):
    checkpoint = RunFolder(folder).read_checkpoint()
    return checkpoint and checkpoint.loop.step


def test_ctrl_c_ends_all_and_other_numbers_go_on(tmp_path):
    folder, environment = tmp_path / "run", stub_environment(tmp_path, seconds_a_step=0.3)
    for count, number in ((2, signal.SIGINT), (3, signal.SIGTERM)):
        command = begin("torch", folder, environment, count)
        wait_for_a_save(folder)
        assert len(children(command.process.pid)) == count
        os.killpg(command.process.pid, number)
        assert command.wait() == 128 + number
        text = folder.with_suffix(".txt").read_text()
        assert "which is saved: go on with `poc run --resume" in text, text
        assert RunFolder(folder).read_run()["status"] == "interrupted"
    step = RunFolder(folder).read_checkpoint().loop.step
    finish("torch", folder, stub_environment(tmp_path), 1)
    assert 0 < step < RunFolder(folder).read_metrics()[-1]["step"]
    assert [line["epoch"] for line in RunFolder(folder).read_metrics()] == [1, 2, 3, 4]


# Rank 0 alone writes the beginning of a run, here slowly.
SLOW_START = """
import runpy, time
from poc.shared.engine.folder.run_folder import RunFolder
keep_split = RunFolder.keep_split
RunFolder.keep_split = lambda folder, content: (time.sleep(4), keep_split(folder, content))
runpy.run_path({stub!r}, run_name="__main__")
"""


def test_ctrl_c_while_the_first_rank_writes_the_start_ends_all_at_once(tmp_path):
    """The others would else record it, and wait for the first one in their first step."""
    folder, environment = tmp_path / "run", stub_environment(tmp_path)
    script, interpreter = tmp_path / "slow.py", Path(environment["POC_TORCH_PYTHON"])
    script.write_text(SLOW_START.format(stub=stub.__file__))
    interpreter.write_text(interpreter.read_text().replace(stub.__file__, str(script)))
    command = begin("torch", folder, environment)
    assert command.wait_for_start(None)
    time.sleep(1.5)
    os.killpg(command.process.pid, signal.SIGINT)
    asked = time.monotonic()
    assert command.wait() == 128 + signal.SIGINT
    # Ranks that recorded it would be waited for, for 15 seconds.
    assert time.monotonic() - asked < 12
    assert RunFolder(folder).read_run()["status"] == "interrupted"


def kill_first_child(command, folder, before, index):
    """Kill one rank of a run that has begun, once it has saved."""
    assert command.wait_for_start(before)
    wait_for_a_save(folder)
    os.kill(children(command.process.pid)[index], signal.SIGKILL)


def test_a_dead_rank_is_left_out_and_the_others_go_on(tmp_path):
    folder, environment = tmp_path / "run", stub_environment(tmp_path, seconds_a_step=0.1)
    with folder.with_suffix(".txt").open("w") as log:
        arguments = ["--backend", "torch", *RUN, "--output", folder, "--save-every", "2"]
        several = ["--processes", "3", "--max-restarts", "1"]
        command = Command.start(folder, *arguments, *several, environment=environment, log=log)
        kill_first_child(command, folder, None, 1)
        assert command.wait() == 0, folder.with_suffix(".txt").read_text()
    text = folder.with_suffix(".txt").read_text()
    assert "Restart 1 of 1, with 2 processes: rank " in text, text
    assert "Resumed after step" in text
    record = RunFolder(folder).read_run()
    assert record["status"] == "finished"
    assert len(record["resumes"]) == 1
    assert [line["epoch"] for line in RunFolder(folder).read_metrics()] == [1, 2, 3, 4]


def launch(backend, folder, index, variables, environment):
    """Start one rank as a launcher does."""
    arguments = [*options_of(backend, folder, environment), "--save-every", "2"]
    with folder.with_name(f"rank{index}.txt").open("w") as log:
        return Command.start(folder, *arguments, environment={**environment, **variables}, log=log)


def torchrun_variables(address, index):
    host, _, port = address.rpartition(":")
    return {"RANK": str(index), "WORLD_SIZE": "2", "MASTER_ADDR": host, "MASTER_PORT": port}


def tf_config(address, index):
    cluster = {"worker": [address, "127.0.0.1:1"]}
    return {
        "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    }


def check_launched(backend, tmp_path, environment, variables):
    """Ranks that are started one by one write what `--processes 2` writes."""
    expected = finish(backend, tmp_path / "whole", environment)
    folder, address = tmp_path / "launched" / "run", local_addresses(1)[0]
    folder.parent.mkdir()
    # In the order in which nobody waits for the other.
    ranks = [launch(backend, folder, i, variables(address, i), environment) for i in (1, 0)]
    codes = [command.wait() for command in ranks]
    texts = [folder.with_name(f"rank{index}.txt").read_text() for index in (1, 0)]
    assert codes == [0, 0], texts
    assert facts(folder) == expected
    assert f"Rank 1 is done. Run folder: {folder}" in texts[0]
    assert f"Run folder: {folder}" in texts[1]
    assert RunFolder(folder).read_run()["environment"]["processes"] == 2


@pytest.mark.parametrize("variables", [torchrun_variables, tf_config])
def test_launched_ranks_join(variables, tmp_path):
    check_launched("torch", tmp_path, stub_environment(tmp_path), variables)


@pytest.mark.slow
@pytest.mark.parametrize("variables", [torchrun_variables, tf_config])
@pytest.mark.parametrize("backend", BACKENDS)
def test_launched_ranks_of_a_backend_join(backend, variables, tmp_path):
    check_launched(backend, tmp_path, {}, variables)
