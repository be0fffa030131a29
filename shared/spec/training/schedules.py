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

    After a warm-up, cosine and polynomial take all remaining steps and begin at the full rate, as
    with PyTorch's `SequentialLR`. Milestones are shares of the full run: a warm-up delays no drop,
    and a drop inside the warm-up takes effect at its end. One cycle has a rise of its own; it is
    PyTorch's `OneCycleLR` with two phases of cosine form, and leaves the momentum alone.
    """

    name: Literal["constant", "cosine", "step", "one_cycle", "polynomial"] = Field(
        "constant",
        description="shape of the learning rate over the run",
        json_schema_extra=BY_RECIPE,
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        description="updates of a linear rise of the learning rate from 0; 0: none",
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
        0.0,
        ge=0,
        le=1,
        description="cosine, polynomial, one_cycle: share of the learning rate that is left at the "
        "end",
    )
    start_fraction: float = Field(
        0.04, ge=0, le=1, description="one_cycle: share of the learning rate at the first step"
    )
    rise_fraction: float = Field(
        0.3, ge=0, lt=1, description="one_cycle: share of the run in which the rate rises"
    )
    power: float = Field(
        1.0, gt=0, description="polynomial: power of the share of steps that is left; 1: a line"
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
    if schedule.name == "one_cycle":
        return base * one_cycle(schedule, step, num_steps)
    if schedule.name == "step":
        progress = share_done(step, num_steps)
        return base * schedule.factor ** sum(progress >= mark for mark in schedule.milestones)
    done = share_done(step - warmup, num_steps - warmup)
    if schedule.name == "cosine":
        return base * eased(1, schedule.final_fraction, done)
    if schedule.name == "polynomial":
        final = schedule.final_fraction
        return base * (final + (1 - final) * math.pow(1 - done, schedule.power))
    return base


def one_cycle(schedule: ScheduleSpec, step: int, num_steps: int) -> float:
    """Return the share of the full rate at a step of one cycle: up to 1, and down again.

    As in PyTorch the rate is full one step before `rise_fraction` of the run is over, which may be
    between two steps.
    """
    full, last = schedule.rise_fraction * num_steps - 1, num_steps - 1
    if step < full:
        return eased(schedule.start_fraction, 1, step / full)
    return eased(1, schedule.final_fraction, min((step - full) / (last - full), 1.0))


def eased(start: float, end: float, progress: float) -> float:
    """Return a value between start and end along half a cosine, for a progress of 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def share_done(step: int, num_steps: int) -> float:
    """Return the share of the steps that is done before a step, 0 to 1."""
    return min(step / max(num_steps, 1), 1.0)
