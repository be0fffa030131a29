"""What a loop asks of the other ranks: pooled numbers by hand, and decisions of all."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from poc.shared.data.batches.shard import WHOLE, Shard
from poc.shared.engine.ranks import ranks as ranks_module
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import local_addresses
from poc.shared.engine.ranks.ranks import Ranks, own_counts, pool_counts, pool_metrics
from poc.shared.engine.training.loop import TrainingLoop
from poc.shared.engine.worker.interruption import Interruption, StopRequested


def together(work, count):
    address = local_addresses(1)[0]
    places = [Place(index=i, count=count, meeting=address, token="") for i in range(count)]

    def enter(place):
        with Ranks(place) as ranks:
            return work(ranks)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(enter, places))


def test_means_are_weighted_by_examples():
    found = pool_metrics(
        [
            {"loss": 1.0, "count": 4, "bad_step": -1},
            {"loss": 3.0, "count": 2, "bad_step": 7},
            # Stand-ins alone: their mean is 0 / 1, and counts nothing.
            {"loss": float("nan"), "count": 0, "bad_step": 5},
        ]
    )
    assert found == {"loss": pytest.approx(10 / 6), "count": 6, "bad_step": 5}


def test_counts_are_added_and_steps_are_not():
    parts = [
        {"loss": 2.0, "count": 4.0, "num_steps": 3, "good_steps": 3},
        {"loss": 1.0, "count": 3.0, "num_steps": 3, "good_steps": 2},
    ]
    pooled = {"loss": 3.0, "count": 7.0, "num_steps": 3, "good_steps": 2}
    stored = pool_counts(parts)
    assert {name: value for name, value in stored.items() if not name.startswith("@")} == pooled
    # As many ranks take their own numbers, and others take the sums, once.
    assert [own_counts(stored, Shard(index, 2)) for index in range(2)] == parts
    rest = {"loss": 0.0, "count": 0.0, "num_steps": 3, "good_steps": 2}
    assert [own_counts(stored, Shard(index, 3)) for index in range(3)] == [pooled, rest, rest]
    assert own_counts(stored, WHOLE) == own_counts(pooled, WHOLE) == pooled
    assert own_counts(pooled, Shard(1, 2)) == rest
    # The names of some methods have a slash of their own.
    assert own_counts({"pair_weight/a": 2.0}, WHOLE) == {"pair_weight/a": 2.0}


def test_a_process_that_is_alone_gets_back_what_it_gave():
    ranks, stop = Ranks(), Interruption()
    metrics, counts = {"loss": 1.0}, {"count": 2.0}
    assert ranks.pool_metrics(metrics) is metrics
    assert ranks.pool_counts(counts) is counts
    assert ranks.decide(is_due=True, interruption=stop) == (True, True)
    assert ranks.add(1.5) == 1.5
    assert ranks.decide(is_due=False, interruption=stop) == (False, True)
    ranks.meet()


def test_all_stop_if_one_was_asked_to():
    def work(ranks):
        stop = Interruption()
        if ranks.place.index == 1:
            stop.request(2)
        found = ranks.decide(is_due=ranks.place.is_first, interruption=stop)
        return *found, stop.number

    assert together(work, 3) == [(True, True, 2)] * 3


@pytest.mark.parametrize("is_due", [True, False])
def test_a_signal_that_comes_after_a_decision_waits_for_the_next_one(is_due):
    """One rank would stop alone, and the others would wait for it in their next step."""

    def work(ranks):
        stop = Interruption()

        def arrive(*_):
            if ranks.place.is_first and stop.number is None:
                stop._take(signal.SIGINT, None)

        def decide(**given):
            decision = ranks.decide(**given)
            # Between the decision and the check; with a save that is due, within it.
            if not is_due:
                arrive()
            return decision

        loop = SimpleNamespace(
            state=SimpleNamespace(step=1, seconds={}),
            steps=SimpleNamespace(batch_size=lambda step: 8),
            epoch_clock=SimpleNamespace(count=lambda size: False, seconds=0.0, now=0.0),
            saver=SimpleNamespace(is_due=lambda step, now: is_due),
            ranks=SimpleNamespace(decide=decide),
            save=arrive,
            interruption=stop,
        )
        TrainingLoop.after_step(loop)
        with pytest.raises(StopRequested):
            TrainingLoop.after_step(loop)
        return stop.number

    assert together(work, 2) == [signal.SIGINT] * 2


def test_all_wait_for_the_last_one():
    come = []

    def work(ranks):
        if not ranks.place.is_first:
            time.sleep(0.2)
        come.append(ranks.place.index)
        ranks.meet()
        return len(come)

    assert together(work, 3) == [3] * 3


def test_the_first_rank_decides_on_a_save():
    def work(ranks):
        return ranks.decide(is_due=not ranks.place.is_first, interruption=Interruption()).is_due

    assert together(work, 2) == [False, False]


def test_answers_and_sums_of_all():
    logits, labels = np.arange(10.0).reshape(5, 2), np.arange(5)

    def work(ranks):
        own = ranks.place.shard.read(5)
        assert ranks.add(1.0 + ranks.place.index) == 3.0
        assert ranks.pool_counts({"count": 1.0})["count"] == 2.0
        return ranks.gather((logits[own], labels[own]), [5])

    for found in together(work, 2):
        assert np.array_equal(found[0], logits)
        assert np.array_equal(found[1], labels)


def test_ranks_agree_on_addresses_and_know_each_other(monkeypatch):
    """Those of a launcher know where rank 0 is met, and nothing else."""
    seen = []
    monkeypatch.setattr(ranks_module, "count_as_own", lambda numbers: seen.append([*numbers]))
    places = together(lambda ranks: ranks.introduce(), 3)
    assert places[0].addresses == places[1].addresses == places[2].addresses
    assert len(set(places[0].addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in places[0].addresses)
    assert [place.index for place in places] == [0, 1, 2]
    assert seen == [[os.getpid()] * 3] * 3
    assert Ranks().introduce().is_alone


def test_given_addresses_stay():
    address = local_addresses(1)[0]
    given = ("a:1", "b:2")

    def enter(index):
        place = Place(index=index, count=2, addresses=given, meeting=address)
        with Ranks(place) as ranks:
            return ranks.introduce().addresses

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(enter, range(2))) == [given, given]
