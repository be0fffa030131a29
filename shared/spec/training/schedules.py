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
    """The change of the learning rate over the run.

    After a warm-up, the cosine takes all remaining steps and begins at the full rate, as with
    PyTorch's `SequentialLR`. Milestones are shares of the full run: a warm-up delays no drop, and a
    drop inside the warm-up takes effect at its end.
    """

    name: Literal["constant", "cosine", "step"] = Field(
        "constant",
        description="shape of the learning rate over the run",
        json_schema_extra=BY_RECIPE,
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        description="steps of a linear rise of the learning rate from 0; 0: none",
        json_schema_extra=BY_RECIPE,
    )
    milestones: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (),
        examples=[[0.5, 0.75]],
        description="step: shares of the run (0 to 1, with warm-up) after which the rate drops",
    )
    factor: float = Field(
        0.1, gt=0, le=1, description="step: factor on the learning rate at each milestone"
    )
    final_fraction: float = Field(
        0.0, ge=0, le=1, description="cosine: share of the learning rate that is left at the end"
    )


def learning_rate(schedule: ScheduleSpec, base: float, step: int, num_steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        schedule: Shape of the rate, with its numbers.
        base: Rate before the schedule.
        step: Index of the step, from 0.
        num_steps: Number of steps of the full run.

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
    """Return the share of the steps that is done before a step, 0 to 1."""
    return min(step / max(num_steps, 1), 1.0)
