"""Signals of a run: whom they stop, and when."""

import signal

import pytest

from poc.shared.engine.worker.interruption import (
    Interruption,
    handling,
    interruption_error,
    raise_signal,
)
from poc.shared.errors import Interrupted, Terminated


def arrive(number=signal.SIGINT):
    """Call the handler, as the arrival of a signal does; the test's process is not signalled."""
    signal.getsignal(number)(number, None)


@pytest.fixture(autouse=True)
def worker():
    """The handler that a worker has outside of training."""
    with handling(raise_signal):
        yield


def test_the_first_signal_is_recorded_and_the_second_one_ends_the_run():
    run = Interruption()
    with run.listening():
        arrive(signal.SIGTERM)
        assert run.number == signal.SIGTERM
        with pytest.raises(Interrupted, match=r"^stopped by SIGINT$"):
            arrive()
    assert run.number == signal.SIGTERM


def test_after_a_run_a_signal_ends_the_worker():
    run = Interruption()
    with run.listening():
        arrive()
    with pytest.raises(Terminated, match=r"^stopped by SIGTERM$"):
        arrive(signal.SIGTERM)


def test_a_signal_that_comes_after_the_stop_of_another_rank_does_not_count_as_a_second_one():
    run = Interruption()
    with run.listening():
        run.request(signal.SIGTERM)
        arrive()
        assert run.number == signal.SIGTERM
        with pytest.raises(Interrupted):
            arrive()


def test_a_signal_that_comes_after_the_end_of_a_stopped_rank_does_not_hide_how_it_ended():
    run = Interruption()
    with run.listening():
        run.request(signal.SIGINT)
    arrive()
    with pytest.raises(Interrupted):
        arrive()


def test_the_exception_follows_from_the_signal():
    assert type(interruption_error(signal.SIGTERM, "why")) is Terminated
    assert type(interruption_error(signal.SIGINT, "why")) is Interrupted
