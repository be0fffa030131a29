"""Learning rates against PyTorch's own schedulers, joined by `SequentialLR`."""

import pytest

from poc.shared.spec.training.schedules import ScheduleSpec, learning_rate
from poc.tests.helpers.measured.separate_process import measured

NUM_STEPS, BASE = 30, 0.1
SCHEDULES = {
    "cosine": {"name": "cosine"},
    "cosine to a floor": {"name": "cosine", "final_fraction": 0.2},
    "step": {"name": "step", "milestones": (0.5, 0.8)},
}


@pytest.mark.torch
def test_a_schedule_is_that_of_pytorch_with_and_without_a_warm_up() -> None:
    found = measured("schedules_torch.py")
    assert len(found) == 2 * len(SCHEDULES)
    for case, expected in found.items():
        name, warmup = case.rsplit(", ", 1)
        spec = {**SCHEDULES[name], "warmup_steps": int(warmup)}
        schedule = ScheduleSpec.parse(spec, "schedule")
        rates = [learning_rate(schedule, BASE, step, NUM_STEPS) for step in range(NUM_STEPS)]
        assert len(expected) == NUM_STEPS, case
        assert rates == pytest.approx(expected, rel=1e-12), case
