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
]


@pytest.mark.parametrize(("schedule", "step", "rate"), RATES)
def test_rate(schedule, step, rate):
    found = learning_rate(ScheduleSpec.parse(schedule, "schedule"), 0.5, step, 100)
    assert found == pytest.approx(rate, rel=1e-12, abs=1e-16)
    assert isinstance(found, float)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
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
