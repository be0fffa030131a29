"""The workers of several ranks: one that fails ends the others, and is named."""

import signal
import time
from concurrent.futures import Future

import pytest

from poc.shared.engine.launch import rank_workers as module
from poc.shared.engine.launch.rank_workers import (
    choose_failure,
    explain,
    local_places,
    train_together,
    variables_of,
)
from poc.shared.engine.ranks.place import ALONE, Place
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.engine.worker.interruption import interruption_error
from poc.shared.errors import Interrupted, UsageError


class Stub:
    """A worker that answers, raises, or waits until it is killed."""

    def __init__(self, place, answer):
        self.place, self.answer, self.killed, self.is_closed = place, answer, Future(), False

    def train(self):
        if self.answer == "waits":
            self.killed.result(timeout=30)
            raise WorkerCrashed("the stub worker died with exit status -9")
        if isinstance(self.answer, BaseException):
            raise self.answer
        return {"rank": self.place.index} if self.place.is_first else {}

    def kill(self):
        if not self.killed.done():
            self.killed.set_result(None)

    def close(self):
        self.is_closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(*answers):
    places, stubs = local_places(len(answers)), {}

    def start(place):
        stubs[place.index] = Stub(place, answers[place.index])
        return stubs[place.index]

    try:
        return train_together(places, start, Stub.train), stubs
    finally:
        assert all(stub.is_closed for stub in stubs.values())


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name in ("SECONDS_TO_SETTLE", "SECONDS_TO_REFUSE", "SECONDS_TO_STOP"):
        monkeypatch.setattr(module, name, 0.2)


def test_the_row_is_that_of_the_first_rank():
    assert run(None)[0] == run(None, None, None)[0] == {"rank": 0}


def test_a_dead_rank_ends_the_others_and_is_named():
    started = time.monotonic()
    with pytest.raises(WorkerCrashed, match=r"^rank 1 of 3, the torch worker died with exit"):
        run("waits", WorkerCrashed("the torch worker died with exit status -9"), "waits")
    assert time.monotonic() - started < 10


def test_a_death_explains_what_others_raised():
    failed = {
        0: WorkerCrashed("the tf worker raised RankLost: rank 1 has ended"),
        1: WorkerCrashed("the tf worker died with exit status -9"),
    }
    index, error = choose_failure(failed)
    assert str(explain(index, error, 2)) == "rank 1 of 2, the tf worker died with exit status -9"


@pytest.mark.parametrize("kind", [UsageError, Interrupted])
def test_other_errors_are_those_of_the_run(kind):
    with pytest.raises(kind, match=r"^as it is$"):
        run(kind("as it is"), "waits")
    with pytest.raises(kind, match=r"^of the first$"):
        run(kind("of the first"), kind("of another"))


def test_the_others_have_time_to_save_after_a_common_stop_alone(monkeypatch):
    """A rank that a signal has ended at once had agreed with nobody: others wait for it in vain."""
    monkeypatch.setattr(module, "SECONDS_TO_STOP", 2.0)
    started = time.monotonic()
    with pytest.raises(Interrupted, match="SIGINT"):
        run(interruption_error(signal.SIGINT, "stopped by SIGINT"), "waits")
    assert time.monotonic() - started < 1.5
    with pytest.raises(Interrupted, match="step 3"):
        run(Interrupted("stopped after step 3, which is saved: go on with it"), "waits")
    assert time.monotonic() - started > 2.0


def test_places_and_their_variables():
    assert local_places(1) == [ALONE]
    assert variables_of(ALONE, []) == {}
    places = local_places(2)
    assert [place.index for place in places] == [0, 1]
    assert len({*places[0].addresses, places[0].meeting}) == 3
    own = variables_of(places[1], ["TF_NUM_INTRAOP_THREADS"])
    assert Place.of_environment(own) == places[1]
    assert int(own["OMP_NUM_THREADS"]) >= 1
    # What the user has set stays.
    assert "TF_NUM_INTRAOP_THREADS" not in own
