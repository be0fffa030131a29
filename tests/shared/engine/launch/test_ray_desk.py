"""What ranks on a cluster tell the command, without a cluster."""

import signal
import time
from types import SimpleNamespace

import pytest

from poc.shared.engine.launch import ray_ranks
from poc.shared.engine.launch.ray_desk import Desk, Outcome, RemoteRanks
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import Interrupted, UsageError

DEATH = "the torch worker died with exit status -9"


def outcome(*messages, max_restarts=1):
    events = []
    found = Outcome(max_restarts, events.append)
    for message in messages:
        found.hear(message)
    return found, events


def test_a_desk_gives_each_message_once():
    desk = Desk()
    assert [desk.begin(), desk.begin()] == [0, 1]
    desk.tell({"restart": 1})
    assert desk.take() == [{"restart": 1}]
    assert desk.take() == []
    assert desk.signals() == []
    desk.stop(signal.SIGINT)
    desk.stop(signal.SIGTERM)
    assert desk.signals() == [signal.SIGINT, signal.SIGTERM]


def test_the_row_is_that_of_rank_0():
    found, events = outcome(
        {"event": {"event": "epoch"}},
        {"row": {"accuracy": 0.5}, "rank": 0},
        {"row": {"rank": 1}, "rank": 1},
    )
    assert found.conclude() == {"accuracy": 0.5}
    assert events == [{"event": "epoch"}]


def test_a_restart_makes_former_errors_past():
    lost = {"error": ("WorkerCrashed", "rank 1 has ended"), "rank": 0}
    found, events = outcome(lost, {"restart": 1}, {"row": {"accuracy": 0.5}, "rank": 0})
    assert found.conclude() == {"accuracy": 0.5}
    assert events == [{"event": "note", "text": "Restart 1 of 1: a rank has died."}]


def test_a_death_explains_what_other_ranks_have_raised():
    found, _ = outcome({"error": ("WorkerCrashed", "raised RankLost: rank 1 ended"), "rank": 0})
    found.failed[1] = WorkerCrashed(f"rank 1 of 2, {DEATH}")
    with pytest.raises(WorkerCrashed, match=f"^rank 1 of 2, {DEATH}$"):
        found.conclude()


@pytest.mark.parametrize("kind", [UsageError, Interrupted])
def test_what_a_rank_raised_is_raised_here(kind):
    found, _ = outcome({"error": (kind.__name__, "Got it."), "rank": 0})
    with pytest.raises(kind, match=r"^Got it\.$"):
        found.conclude()


def test_ranks_that_say_nothing_are_a_crash():
    found, _ = outcome()
    with pytest.raises(WorkerCrashed, match="no rank has told how it ended"):
        found.conclude()


def test_two_signals_wait_for_the_ranks_and_a_third_does_not():
    ranks = RemoteRanks()
    ranks.interrupt(signal.SIGINT)
    ranks.interrupt(signal.SIGINT)
    assert [ranks.take(), ranks.take()] == [[signal.SIGINT] * 2, []]
    with pytest.raises(Interrupted):
        ranks.interrupt(signal.SIGINT)


class Process:
    """The process of a rank, which keeps the signals that it gets."""

    def __init__(self):
        self.numbers = []

    def interrupt(self, number):
        self.numbers.append(number)


def test_each_signal_reaches_the_process_of_a_rank_once(monkeypatch):
    """One that comes before the process does waits for it; a second one is passed on too."""
    live, desk, process = set(), Desk(), Process()
    monkeypatch.setattr(ray_ranks, "LIVE", live)
    monkeypatch.setattr(ray_ranks, "SECONDS_BETWEEN_LOOKS", 0.01)
    silent = SimpleNamespace(get=lambda found: found)
    afar = SimpleNamespace(signals=SimpleNamespace(remote=lambda: [*desk.signals()]))
    with ray_ranks.passing_signals(silent, afar):
        desk.stop(signal.SIGINT)
        time.sleep(0.2)
        live.add(process)
        time.sleep(0.2)
        assert process.numbers == [signal.SIGINT]
        desk.stop(signal.SIGTERM)
        time.sleep(0.2)
    assert process.numbers == [signal.SIGINT, signal.SIGTERM]
