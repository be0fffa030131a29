"""Learning rates as pure functions of the step: both backends receive plain numbers.

Steps count from 0. A schedule never waits for a framework and holds no state; what depends on the
run's history (reduction on a plateau) is part of the training loop's state.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from poc.shared.spec.open_settings import BY_RECIPE
from poc.shared.spec.settings import Settings


class ScheduleSpec(Settings):
    """How the learning rate moves over the run.

    After a warm-up the cosine has the remaining steps to itself and begins at the whole rate, as
    PyTorch's `SequentialLR` joins the two. Milestones stay shares of the whole run: a warm-up
    delays no drop, and one that falls into it takes effect at its end.
    """

    name: Literal["constant", "cosine", "step"] = Field(
        "constant", description="shape", json_schema_extra=BY_RECIPE
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        description="linear rise from 0 over this many steps",
        json_schema_extra=BY_RECIPE,
    )
    milestones: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (),
        examples=[[0.5, 0.75]],
        description='"step": shares of the run (0 to 1, warm-up included) after which the rate '
        "drops",
    )
    factor: float = Field(0.1, gt=0, le=1, description='"step": multiplier at each milestone')
    final_fraction: float = Field(
        0.0, ge=0, le=1, description='"cosine": share of the rate that is left at the end'
    )


def learning_rate(schedule: ScheduleSpec, base: float, step: int, num_steps: int) -> float:
    """Learning rate of this step.

    Args:
        schedule: Shape and its numbers.
        base: Rate before any reduction.
        step: Index of the step, from 0.
        num_steps: Steps of the whole run.

    Returns:
        The rate, a plain float.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule.name == "cosine":
        share = (1 + math.cos(math.pi * share_done(step - warmup, num_steps - warmup))) / 2
        return base * (schedule.final_fraction + (1 - schedule.final_fraction) * share)
    if schedule.name == "step":
        progress = share_done(step, num_steps)
        return base * schedule.factor ** sum(progress >= mark for mark in schedule.milestones)
    return base


def share_done(step: int, num_steps: int) -> float:
    """Part of so many steps that lies before this one, 0 to 1."""
    return min(step / max(num_steps, 1), 1.0)
