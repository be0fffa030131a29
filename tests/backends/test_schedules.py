"""Learning rates against PyTorch's own schedulers, joined by `SequentialLR`."""

import pytest

from poc.shared.spec.training.schedules import ScheduleSpec, learning_rate
from poc.tests.helpers.measured.separate_process import measured

NUM_STEPS, BASE = 30, 0.1
SCHEDULES = {
    "cosine": {"name": "cosine"},
    "cosine to a floor": {"name": "cosine", "final_fraction": 0.2},
    "step": {"name": "step", "milestones": (0.5, 0.8)},
    "polynomial": {"name": "polynomial"},
    "polynomial of power 2.5": {"name": "polynomial", "power": 2.5},
    # With PyTorch's own numbers, of which the last is a ten thousandth of the first.
    "one cycle": {"name": "one_cycle", "final_fraction": 4e-6},
}


@pytest.fixture(scope="module")
def theirs():
    return measured("schedules_torch.py")


@pytest.mark.torch
def test_a_schedule_is_that_of_pytorch_with_and_without_a_warm_up(theirs) -> None:
    found = theirs["sequences"]
    # One cycle has no warm-up but its own.
    assert len(found) == 2 * len(SCHEDULES) - 1
    for case, expected in found.items():
        name, warmup = case.rsplit(", ", 1)
        spec = {**SCHEDULES[name], "warmup_steps": int(warmup)}
        schedule = ScheduleSpec.parse(spec, "schedule")
        rates = [learning_rate(schedule, BASE, step, NUM_STEPS) for step in range(NUM_STEPS)]
        assert len(expected) == NUM_STEPS, case
        assert rates == pytest.approx(expected, rel=1e-12), case


@pytest.mark.torch
def test_one_cycle_is_that_of_pytorch_at_every_length_and_form(theirs) -> None:
    assert len(theirs["cycles"]) == 40
    for num_steps, rise, start, final, expected in theirs["cycles"]:
        schedule = ScheduleSpec(
            name="one_cycle", rise_fraction=rise, start_fraction=start, final_fraction=final
        )
        rates = [learning_rate(schedule, BASE, step, num_steps) for step in range(num_steps)]
        assert rates == pytest.approx(expected, rel=1e-12), (num_steps, rise, start)
