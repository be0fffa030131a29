"""Forecasts of the first cell of a candidate, whose speed nobody has measured yet.

A cell takes the time of its start and that of its multiply-adds. Their speed is that of a cell with
the same body, or else the best that any cell has shown: a forecast that is too low only wastes a
cell, which its limit stops.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from poc.shared.actions.study.candidates import Candidate
from poc.shared.actions.study.jobs import Job, Trial
from poc.shared.spec.data import DEFAULT_IMAGE_SIZE
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.reading.recipe import Kind, count_epochs, count_steps
from poc.shared.spec.resolved import declare_for
from poc.shared.spec.run import RunSpec

# A training step takes about three passes: one forward, and two products of each layer backward.
TRAINING_PASSES = 3
# Validation images of each epoch, over training images.
VAL_SHARE = 0.25
# The start is taken off only where enough is left: the quickest cell is nearly all start.
LEAST_REST = 0.2
CountWork = Callable[[Job], float]


class Images(NamedTuple):
    """The images of a study: number in a train part, common shape (H, W, C), number of classes."""

    num_train: int
    shape: Shape | None
    num_classes: int


class Measured(NamedTuple):
    """A cell that has finished: its body, multiply-adds and seconds."""

    body: str
    work: float
    seconds: float


def forecast(job: Job, ended: Sequence[Trial], count_work: CountWork) -> float | None:
    """Forecast the seconds of a cell of the search; None if no cell in its framework has ended.

    Args:
        job: The cell.
        ended: All cells that have ended.
        count_work: Counts the multiply-adds of a cell.
    """
    measured = [
        Measured(body_of(trial.job), count_work(trial.job), trial.outcome.warm.seconds)
        for trial in ended
        if trial.outcome.is_finished
        and trial.job.backend == job.backend
        and trial.job.phase == "search"
    ]
    if not measured:
        return None
    work, start = count_work(job), min(cell.seconds for cell in measured)
    alike = [scale(cell, work, start) for cell in measured if cell.body == body_of(job)]
    # The slowest of its own body: others may have read outputs that the first one computed.
    return max(alike) if alike else min(scale(cell, work, start) for cell in measured)


def scale(cell: Measured, work: float, start: float) -> float:
    """Return the seconds of so many multiply-adds at the speed of a cell, with the start of one."""
    rest = cell.seconds - start
    if rest < LEAST_REST * cell.seconds:
        return max(cell.seconds, cell.seconds * work / cell.work)
    return start + rest * work / cell.work


def body_of(job: Job) -> str:
    """Return what decides a cell's speed: the weights or the model; for a student, its teacher's.

    A student's teacher sees every image too, and is the larger network.
    """
    return body_setting(job.teacher.candidate if job.teacher else job.candidate)


def body_setting(candidate: Candidate) -> str:
    """Return the setting of a candidate that names its weights, or else its model."""
    for key in ("initial_weights=", "model.name="):
        for text in candidate.settings:
            if text.startswith(key):
                return text
    return candidate.name


def count_multiply_adds(
    run: RunSpec, kind: Kind | None, images: Images, teacher: RunSpec | None = None
) -> float:
    """Count the multiply-adds of a run: all passes of all its epochs.

    Args:
        run: Settings of a cell.
        kind: Its kind of training; None: a head is fitted after one pass.
        images: The images (H, W, C) that it sees.
        teacher: Settings of the network that it learns from, if any.
    """
    forward = count_forward(run, images)
    if kind is None:
        return forward * images.num_train * (1 + VAL_SHARE)
    epochs = run.num_epochs
    if "num_epochs" in run.open_settings:
        epochs = count_epochs(kind, count_steps(run, images.num_train))
    each = TRAINING_PASSES * forward + VAL_SHARE * forward
    if teacher is not None:
        each += count_forward(teacher, images)
    return each * epochs * images.num_train


def count_forward(run: RunSpec, images: Images) -> float:
    """Count the multiply-adds of one of the images (H, W, C), at the size of the first stage."""
    size = getattr(run.method_settings, "train_size", None)
    height, width, channels = images.shape or (*DEFAULT_IMAGE_SIZE, 3)
    if size is not None:
        height, width = size, size
    elif run.asked_size is not None:
        height, width = run.asked_size
    shape = (height, width, run.data.channels or channels)
    return float(declare_for(run, shape, images.num_classes).macs)
