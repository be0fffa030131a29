"""The meeting of ranks: values of all, an end in the middle, a stranger at the door."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from poc.shared.engine.ranks import meeting as module
from poc.shared.engine.ranks.meeting import Meeting, RankLost
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import LOCAL_HOST, local_addresses
from poc.shared.errors import UsageError


def places(count):
    address = local_addresses(1)[0]
    return [Place(index=i, count=count, meeting=address, token="word") for i in range(count)]


def together(work, count):
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, places(count)))


@pytest.mark.parametrize("count", [2, 3])
def test_every_rank_has_the_values_of_all_in_order(count):
    def work(place):
        with Meeting(place) as meeting:
            first = meeting.exchange({"rank": place.index, "none": None})
            second = meeting.exchange({"row": np.full((2, 1), place.index)})
        return first, second

    for first, second in together(work, count):
        assert first == [{"rank": index, "none": None} for index in range(count)]
        assert [each["row"].tolist() for each in second] == [[[i], [i]] for i in range(count)]


@pytest.mark.parametrize("count", [2, 3])
def test_rank_0_answers_for_all(count):
    def work(place):
        asked = []

        def combine(found):
            asked.append(place.index)
            return {"total": sum(each["row"] for each in found)}

        with Meeting(place) as meeting:
            answer = meeting.agree({"row": np.full(2, place.index)}, combine)
        return answer["total"].tolist(), asked

    answers, asked = zip(*together(work, count), strict=True)
    assert answers == ([sum(range(count))] * 2,) * count
    assert asked == ([0], *([],) * (count - 1))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_that_ends_is_named(lost):
    def work(place):
        with Meeting(place) as meeting:
            if place.index == lost:
                return "ended"
            with pytest.raises(RankLost) as raised:
                meeting.exchange({})
            return str(raised.value)

    assert together(work, 2)[1 - lost] == f"rank {lost} has ended in the middle of the run"


def test_a_stranger_is_sent_away():
    first, second = places(2)

    with ThreadPoolExecutor(2) as threads:
        own = threads.submit(Meeting, first)
        while (stranger := module.connect(first.meeting)) is None:
            time.sleep(0.01)
        with stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        module.find_first(replace(second, token="guess")).close()
        other = threads.submit(Meeting, second)
        with own.result() as left, other.result() as right:
            answer = threads.submit(right.exchange, {"rank": 1})
            assert left.exchange({"rank": 0}) == answer.result() == [{"rank": 0}, {"rank": 1}]


def test_a_rank_that_does_not_come_is_named(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_COME", 0.2)
    first, second = places(2)
    with pytest.raises(RankLost, match=r"^rank 1 has not come within 0\.2 seconds$"):
        Meeting(first)
    with pytest.raises(RankLost, match=r"^rank 0 has not come"):
        Meeting(second)


def test_free_addresses_differ():
    found = local_addresses(5)
    assert len(set(found)) == 5
    assert all(each.startswith(f"{LOCAL_HOST}:") for each in found)


def test_an_address_at_which_nobody_can_listen():
    first = places(2)[0]
    with module.listen(first.meeting), pytest.raises(UsageError, match=r"free port.*MASTER_PORT"):
        Meeting(first)
    # An address that is kept for books, and no machine's.
    with pytest.raises(UsageError, match=r"^Got the address 192\.0\.2\.1:29500 for rank 0"):
        Meeting(replace(first, meeting="192.0.2.1:29500"))
