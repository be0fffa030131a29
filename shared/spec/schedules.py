"""Learning rates as pure functions of the step: both backends receive plain numbers.

Steps count from 0. A schedule never waits for a framework and holds no state; what depends on the
run's history (reduction on a plateau) is part of the training loop's state.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from .settings import Settings


class ScheduleSpec(Settings):
    """How the learning rate moves over the run."""

    name: Literal["constant", "cosine", "step"] = Field("constant", description="shape")
    warmup_steps: int = Field(0, ge=0, description="linear rise from 0 over this many steps")
    milestones: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (),
        examples=[[0.5, 0.75]],
        description='"step": shares of the run (0 to 1) after which the rate drops',
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
    if step < schedule.warmup_steps:
        return base * (step + 1) / schedule.warmup_steps
    progress = min(step / max(num_steps, 1), 1.0)
    if schedule.name == "cosine":
        share = (1 + math.cos(math.pi * progress)) / 2
        return base * (schedule.final_fraction + (1 - schedule.final_fraction) * share)
    if schedule.name == "step":
        return base * schedule.factor ** sum(progress >= mark for mark in schedule.milestones)
    return base
