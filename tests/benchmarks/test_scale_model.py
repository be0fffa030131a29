"""The model of `benchmarks/scale.py`, against times by hand and a simulated exchange."""

import numpy as np
import pytest

from poc.benchmarks.scale_model import (
    RANKS,
    Link,
    Meeting,
    Network,
    efficiency,
    find_ceiling,
    fit_line,
    predict_step,
    ring_seconds,
    speedup,
    sum_seconds,
    tree_seconds,
)

LINK = Link(name="slow", latency_seconds=0.001, bytes_per_second=1e6)
SILENT = Meeting(message_seconds=0.0)
NETWORK = Network(
    name="net",
    gradient_bytes=4000,
    norm_channels=(8, 16),
    fixed_seconds=0.01,
    image_seconds=0.002,
    reading_seconds=0.0001,
)


def simulate_ring(size, ranks, link):
    """Add up a vector over a ring, chunk by chunk, and count the time of each round."""
    values = [np.full(ranks, float(rank + 1)) for rank in range(ranks)]
    seconds = 0.0
    for phase in ("add", "copy"):
        for turn in range(ranks - 1):
            sent = {}
            for rank in range(ranks):
                chunk = (rank - turn + (phase == "copy")) % ranks
                sent[(rank + 1) % ranks] = chunk, values[rank][chunk]
            for rank, (chunk, value) in sent.items():
                values[rank][chunk] = value + (values[rank][chunk] if phase == "add" else 0.0)
            seconds += link.latency_seconds + size / ranks / link.bytes_per_second
    assert all((value == sum(range(1, ranks + 1))).all() for value in values)
    return seconds


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_takes_the_time_of_its_rounds(ranks):
    assert ring_seconds(5000, ranks, LINK) == pytest.approx(simulate_ring(5000, ranks, LINK))


def test_a_tree_takes_two_messages_a_level():
    # 8 ranks: three levels up and three down, each 1 ms and 2 ms for 2,000 bytes.
    assert tree_seconds(2000, 8, LINK) == pytest.approx(0.018)
    assert tree_seconds(2000, 5, LINK) == pytest.approx(0.018)
    assert tree_seconds(2000, 1, LINK) == ring_seconds(2000, 1, LINK) == 0.0


def test_small_sums_take_the_tree_and_large_ones_the_ring():
    assert sum_seconds(8, 64, LINK) == tree_seconds(8, 64, LINK) < ring_seconds(8, 64, LINK)
    assert sum_seconds(1e8, 64, LINK) == ring_seconds(1e8, 64, LINK) < tree_seconds(1e8, 64, LINK)


def test_bytes_of_a_step_are_those_of_gradients_and_batch_norms():
    # (8 + 1) + 8 + 16 and (16 + 1) + 16 + 32 values of four bytes.
    assert NETWORK.norm_sums == [36, 32, 64, 68, 64, 128]
    assert NETWORK.step_bytes == 4000 + 392


def test_a_step_adds_up_its_parts():
    step = predict_step(NETWORK, 2, 7, LINK, Meeting(message_seconds=0.002))
    # The larger part has four images. Rank 0 hears one message and answers it, over a link with
    # 1 ms of latency in each direction.
    assert step.computation == pytest.approx(0.018)
    assert step.gradients == pytest.approx(0.002 + 0.004)
    assert step.norms == pytest.approx(6 * 0.002 + 392 / 1e6)
    assert step.meeting == pytest.approx(0.002 + 0.002)
    assert step.seconds == pytest.approx(0.018 + 0.006 + 0.012392 + 0.004)
    assert step.largest == "computation"


def test_slow_reading_is_a_ceiling_of_its_own():
    slow = Network(**{**vars(NETWORK), "reading_seconds": 1.0})
    step = predict_step(slow, 2, 8, LINK, SILENT)
    assert step.seconds == 4.0
    assert step.largest == "reading"


def test_without_a_cost_of_exchange_ranks_are_useful():
    free = Link(name="free", latency_seconds=0.0, bytes_per_second=1e30)
    net = Network(**{**vars(NETWORK), "fixed_seconds": 0.0})
    assert speedup(net, 16, 64, free, SILENT) == pytest.approx(16.0)
    assert efficiency(net, 16, 64, free, SILENT) == pytest.approx(1.0)
    assert efficiency(NETWORK, 1, 64, LINK, SILENT) == 1.0
    assert efficiency(NETWORK, 16, 64, LINK, SILENT) < 0.5


def test_a_meeting_grows_with_the_ranks():
    meeting = Meeting(message_seconds=1e-6)
    assert meeting.seconds(1, LINK) == 0.0
    assert meeting.seconds(1024, LINK) == pytest.approx(1023e-6 + 0.002)


def test_a_line_is_found():
    assert fit_line({1: 3.0, 2: 5.0, 4: 9.0}) == pytest.approx((1.0, 2.0))
    # Neither a negative start nor a negative slope.
    assert fit_line({1: 1.0, 2: 3.0})[0] == 0.0
    assert fit_line({1: 2.0, 2: 1.0})[1] == 0.0


def test_a_ceiling_is_the_last_useful_number_of_ranks():
    assert find_ceiling([1.0, 0.9, 0.6, 0.4, 0.7], RANKS[:5]) == 4
    assert find_ceiling([1.0] * 11) == 1024
