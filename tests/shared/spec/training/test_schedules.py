"""Learning rates at their first, middle and last steps, by hand."""

import math
from itertools import pairwise

import pytest

from poc.shared.spec.training.schedules import ScheduleSpec, learning_rate

# Schedule, step of 100 -> rate for a base of 0.5.
RATES = [
    ({"name": "constant"}, 0, 0.5),
    ({"name": "constant"}, 99, 0.5),
    ({"name": "constant", "warmup_steps": 10}, 0, 0.05),
    ({"name": "constant", "warmup_steps": 10}, 4, 0.25),
    ({"name": "constant", "warmup_steps": 10}, 9, 0.5),
    ({"name": "constant", "warmup_steps": 10}, 10, 0.5),
    ({"name": "cosine"}, 0, 0.5),
    ({"name": "cosine"}, 50, 0.25),
    ({"name": "cosine"}, 99, 0.25 * (1 + math.cos(0.99 * math.pi))),
    ({"name": "cosine", "final_fraction": 0.2}, 50, 0.3),
    ({"name": "cosine", "final_fraction": 0.2}, 100, 0.1),
    # 80 steps of cosine follow: begun at 20, a quarter done at 40, half at 60, over at 100.
    ({"name": "cosine", "warmup_steps": 20}, 9, 0.25),
    ({"name": "cosine", "warmup_steps": 20}, 19, 0.5),
    ({"name": "cosine", "warmup_steps": 20}, 20, 0.5),
    ({"name": "cosine", "warmup_steps": 20}, 40, 0.25 * (1 + math.sqrt(0.5))),
    ({"name": "cosine", "warmup_steps": 20}, 60, 0.25),
    ({"name": "cosine", "warmup_steps": 20, "final_fraction": 0.2}, 60, 0.3),
    ({"name": "cosine", "warmup_steps": 20}, 100, 0.0),
    ({"name": "cosine", "warmup_steps": 200}, 99, 0.25),
    # Milestones count the warm-up; one that lies within it waits for its end.
    ({"name": "step", "milestones": (0.5,), "warmup_steps": 20}, 49, 0.5),
    ({"name": "step", "milestones": (0.5,), "warmup_steps": 20}, 50, 0.05),
    ({"name": "step", "milestones": (0.1,), "warmup_steps": 20}, 19, 0.5),
    ({"name": "step", "milestones": (0.1,), "warmup_steps": 20}, 20, 0.05),
    ({"name": "step", "milestones": (0.5, 0.75)}, 49, 0.5),
    ({"name": "step", "milestones": (0.5, 0.75)}, 50, 0.05),
    ({"name": "step", "milestones": (0.5, 0.75)}, 75, 0.005),
    ({"name": "step", "milestones": (0.5,), "factor": 0.25}, 99, 0.125),
    # A line, a square and a root of what is left; then with a floor, and after a warm-up.
    ({"name": "polynomial"}, 0, 0.5),
    ({"name": "polynomial"}, 25, 0.375),
    ({"name": "polynomial", "power": 2}, 50, 0.125),
    ({"name": "polynomial", "power": 0.5}, 75, 0.25),
    ({"name": "polynomial", "power": 2}, 100, 0.0),
    ({"name": "polynomial", "power": 2, "final_fraction": 0.2}, 50, 0.2),
    ({"name": "polynomial", "power": 2, "final_fraction": 0.2}, 100, 0.1),
    ({"name": "polynomial", "power": 2, "warmup_steps": 20}, 9, 0.25),
    ({"name": "polynomial", "power": 2, "warmup_steps": 20}, 20, 0.5),
    ({"name": "polynomial", "power": 2, "warmup_steps": 20}, 60, 0.125),
    # The rise ends one step before 30 % of the run; half of it is between steps 14 and 15.
    ({"name": "one_cycle"}, 0, 0.02),
    ({"name": "one_cycle", "rise_fraction": 0.21, "start_fraction": 0.2}, 10, 0.3),
    ({"name": "one_cycle"}, 29, 0.5),
    ({"name": "one_cycle"}, 64, 0.25),
    ({"name": "one_cycle"}, 99, 0.0),
    ({"name": "one_cycle", "final_fraction": 0.2}, 64, 0.3),
    ({"name": "one_cycle", "final_fraction": 0.2}, 99, 0.1),
    ({"name": "one_cycle", "final_fraction": 0.2}, 100, 0.1),
    # Without a rise the first step is the first after the full rate: 1 of 100 steps down.
    ({"name": "one_cycle", "rise_fraction": 0}, 49, 0.25),
    ({"name": "one_cycle", "rise_fraction": 0.01}, 0, 0.5),
]


@pytest.mark.parametrize(("schedule", "step", "rate"), RATES)
def test_rate(schedule, step, rate):
    found = learning_rate(ScheduleSpec.parse(schedule, "schedule"), 0.5, step, 100)
    assert found == pytest.approx(rate, rel=1e-12, abs=1e-16)
    assert isinstance(found, float)


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "polynomial"])
def test_a_rate_is_never_negative_and_never_above_the_base(name):
    schedule = ScheduleSpec(name=name, warmup_steps=3, milestones=(0.2, 0.9))
    rates = [learning_rate(schedule, 1.0, step, 20) for step in range(20)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_warm_up_ends_where_the_schedule_begins():
    """The rate never jumps: between neighbouring steps it moves by one step's share of either."""
    schedule = ScheduleSpec(name="cosine", warmup_steps=10)
    rates = [learning_rate(schedule, 0.1, step, 30) for step in range(30)]
    steepest = 0.1 / 10, 0.1 * math.pi / 2 / 20
    moves = [abs(after - before) for before, after in pairwise(rates)]
    assert max(moves) <= max(steepest) * (1 + 1e-12)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 50])
@pytest.mark.parametrize("rise", [0.0, 0.3, 0.5, 0.99])
def test_one_cycle_rises_and_falls_whatever_the_length(num_steps, rise):
    schedule = ScheduleSpec(name="one_cycle", rise_fraction=rise)
    rates = [learning_rate(schedule, 1.0, step, num_steps) for step in range(num_steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    highest = rates.index(max(rates))
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
