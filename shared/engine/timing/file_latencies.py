"""Latencies of several exported files, taken in turn: a slow moment of the machine affects all."""

import time
from collections.abc import Callable, Sequence

from .rounds import in_turn

# Calls of each file before the clock starts: the first ones allocate memory and choose kernels.
WARM_UPS = 2
Clock = Callable[[], float]


def time_in_turn(
    calls: Sequence[Callable[[], object]],
    *,
    least_rounds: int,
    seconds: float,
    limit_seconds: float,
    clock: Clock = time.perf_counter,
) -> list[list[float]] | None:
    """Time each call once per round, in an order that changes from round to round.

    Args:
        calls: One per file.
        least_rounds: Rounds at least.
        seconds: Seconds that all rounds together take at least.
        limit_seconds: Time that there is, with the calls before the clock starts.
        clock: Returns seconds.

    Returns:
        Samples of each file in seconds; None if the first calls show that the time does not reach.
    """
    began = clock()
    for number in range(WARM_UPS):
        for call in calls:
            call()
        one_round = (clock() - began) / (number + 1)
        rounds_to_come = WARM_UPS - number - 1 + least_rounds
        if clock() - began + rounds_to_come * one_round > limit_seconds:
            return None
    samples: list[list[float]] = [[] for _ in calls]
    timed, number = clock(), 0
    while number < least_rounds or clock() - timed < seconds:
        if number >= least_rounds and clock() - began > limit_seconds:
            break
        for place in in_turn(range(len(calls)), number):
            started = clock()
            calls[place]()
            samples[place].append(clock() - started)
        number += 1
    return samples
