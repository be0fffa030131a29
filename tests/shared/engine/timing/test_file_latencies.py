"""Files that are timed in turn, on a clock that the calls themselves move."""

from statistics import median

import pytest

from poc.shared.engine.timing.file_latencies import time_in_turn


class World:
    """A clock, and files whose calls take a known time; `slow` makes one moment slow for all."""

    def __init__(self, seconds):
        self.now, self.order = 0.0, []
        self.calls = [lambda place=place: self.call(place, seconds[place]) for place in seconds]

    def call(self, place, seconds):
        self.order.append(place)
        self.now += seconds * (3.0 if 20 <= len(self.order) < 40 else 1.0)

    def clock(self):
        return self.now


def take(world, **changes):
    given = {"least_rounds": 5, "seconds": 0.0, "limit_seconds": 1000.0, **changes}
    return time_in_turn(world.calls, clock=world.clock, **given)


def test_each_file_has_a_sample_per_round_after_its_first_calls():
    world = World({0: 1.0, 1: 2.0})
    samples = take(world)
    assert samples == [[1.0] * 5, [2.0] * 5]
    # Two calls each before the clock, then A B, B A, …
    assert world.order == [0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]


def test_a_slow_moment_affects_every_file():
    samples = take(World({0: 1.0, 1: 2.0}), least_rounds=40)
    assert samples[0].count(3.0) == samples[1].count(6.0) == 10
    assert [median(own) for own in samples] == [1.0, 2.0]


def test_short_calls_are_repeated_until_they_take_the_wanted_time():
    samples = take(World({0: 0.01, 1: 0.01}), seconds=1.0)
    assert len(samples[0]) == pytest.approx(50 - 10, abs=10)


def test_no_samples_if_the_time_does_not_reach():
    """The first round shows it: 3 s, and six more are needed."""
    world = World({0: 1.0, 1: 2.0})
    assert take(world, limit_seconds=20.0) is None
    assert world.now == 3.0
    assert take(World({0: 1.0, 1: 2.0}), limit_seconds=21.0) is not None


def test_the_limit_ends_rounds_beyond_the_least():
    samples = take(World({0: 1.0}), seconds=500.0, limit_seconds=12.0)
    assert 5 <= len(samples[0]) <= 12
