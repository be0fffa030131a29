"""Real processes, killed at random moments: what comes out equals the uninterrupted run."""

import pytest

from poc.tests.helpers.commands.processes import (
    DRAWN,
    FROZEN,
    RUN,
    kill_at_random,
    stub_environment,
)

BACKENDS = [
    pytest.param("tf", marks=pytest.mark.tf),
    pytest.param("torch", marks=pytest.mark.torch),
]


def tell(fault, kills, finished, early):
    print(
        f"{fault}: {kills} kills ({early} before the run had begun), {finished} runs taken to "
        "their end, lost: 0 bits"
    )


def test_kills_of_the_loop(tmp_path):
    """The stub takes the place of a framework: a process starts in a second."""
    tell("SIGKILL, stub", *kill_at_random("torch", tmp_path, stub_environment(tmp_path), 2))


@pytest.mark.slow
@pytest.mark.parametrize("run", [RUN, DRAWN, FROZEN], ids=["all moves", "drawn", "frozen body"])
def test_many_kills_of_the_loop(run, tmp_path):
    found = kill_at_random("torch", tmp_path, stub_environment(tmp_path), 100, run)
    tell("SIGKILL, stub", *found)


@pytest.mark.slow
@pytest.mark.parametrize("run", [RUN, FROZEN], ids=["all moves", "frozen body"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_thirty_kills_of_a_backend(backend, run, tmp_path):
    tell(f"SIGKILL, {backend}", *kill_at_random(backend, tmp_path, {}, 30, run))
