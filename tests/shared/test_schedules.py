"""Learning rates at their first, middle and last steps, by hand."""

import math

import pytest

from poc.shared.spec.schedules import ScheduleSpec, learning_rate

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
    ({"name": "cosine", "warmup_steps": 20}, 9, 0.25),
    ({"name": "step", "milestones": (0.5, 0.75)}, 49, 0.5),
    ({"name": "step", "milestones": (0.5, 0.75)}, 50, 0.05),
    ({"name": "step", "milestones": (0.5, 0.75)}, 75, 0.005),
    ({"name": "step", "milestones": (0.5,), "factor": 0.25}, 99, 0.125),
]


@pytest.mark.parametrize(("schedule", "step", "rate"), RATES)
def test_rate(schedule, step, rate):
    found = learning_rate(ScheduleSpec.parse(schedule, "schedule"), 0.5, step, 100)
    assert found == pytest.approx(rate, rel=1e-12)
    assert isinstance(found, float)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_a_rate_is_never_negative_and_never_above_the_base(name):
    schedule = ScheduleSpec(name=name, warmup_steps=3, milestones=(0.2, 0.9))
    rates = [learning_rate(schedule, 1.0, step, 20) for step in range(20)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
