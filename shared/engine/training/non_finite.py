"""What is not finite, and since which step.

While training, the device only counts the steps before the first non-finite loss, so that no step
waits. When that count falls short, the steps since the last checkpoint are taken again, one at a
time, until the first tensor that is not finite is found: a healthy run pays nothing.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Batch
from poc.shared.engine.backend import Backend
from poc.shared.engine.folder.checkpoints import Checkpoint
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.run_data import RunData
from poc.shared.engine.teacher import starting_weights
from poc.shared.errors import CheckFailed
from poc.shared.spec.run import RunSpec
from poc.shared.spec.stages import Stage, find_stage

from .stage import StageSteps

# Beyond this the search would cost more than it tells.
MAX_REPEATED_STEPS = 2000


class Loop(Protocol):
    """What the search needs of a training loop."""

    spec: RunSpec
    state: LoopState
    data: RunData
    folder: RunFolder
    backend: Backend
    steps: StageSteps

    def rewind(self, checkpoint: Checkpoint | None) -> None:
        """Stand where a checkpoint stands."""

    def enter(self, stage: Stage) -> None:
        """Begin a stage where another one has ended."""

    def begin_epoch(self, epoch: int) -> None:
        """Count the epoch."""


class NonFinite(Exception):  # noqa: N818 - a finding, which becomes a CheckFailed
    """Something is not finite.

    Attributes:
        step: First step at which it shows.
        tensors: Names, where they are known.
    """

    def __init__(self, step: int, tensors: tuple[str, ...] = ()) -> None:
        super().__init__(step)
        self.step, self.tensors = step, tensors


def check_finite(checkpoint: Checkpoint, first_step: int, step: int) -> None:
    """Refuse to save what is not finite.

    Args:
        checkpoint: About to be written, after `step` steps.
        first_step: Index of the first step that its counts cover.
        step: See above.

    Raises:
        NonFinite: See above.
    """
    good = int(checkpoint.counts.get("good_steps", 0))
    if good < checkpoint.counts["num_steps"]:
        raise NonFinite(first_step + good)
    if tensors := non_finite_names(checkpoint.weights):
        raise NonFinite(step - 1, tensors)


def non_finite_names(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Names of the floating-point arrays that hold a NaN or an infinity."""
    return tuple(
        name
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    )


def find_non_finite(loop: Loop, problem: NonFinite) -> CheckFailed:
    """Take the steps since the last checkpoint again; returns the error that names the tensor."""
    checkpoint = loop.folder.read_checkpoint()
    saved = checkpoint.loop.step if checkpoint else 0
    found = problem
    if problem.step - saved < MAX_REPEATED_STEPS:
        loop.rewind(checkpoint)
        found = repeat_steps(loop, problem)
    kept = f"the checkpoint after step {saved - 1} is kept" if saved else "nothing was saved yet"
    return CheckFailed(
        f"{describe_tensors(found.tensors)} not finite at step {found.step} "
        f"(epoch {found.step // loop.data.train.num_batches + 1}); {kept}: lower "
        "optimizer.learning_rate or look at the data"
    )


def describe_tensors(names: tuple[str, ...]) -> str:
    """The first name and how many more there are, with its verb."""
    if not names:
        return "the loss is"
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{more}"


def repeat_steps(loop: Loop, problem: NonFinite) -> NonFinite:
    """Step by step up to the problem; the first finding, or the problem itself."""
    num_batches = loop.data.train.num_batches
    while loop.state.step <= problem.step:
        if not loop.state.is_in_epoch:
            loop.enter(find_stage(loop.spec.stages, loop.state.epoch + 1))
            loop.begin_epoch(loop.state.epoch + 1)
        epoch, first = loop.state.epoch - 1, loop.state.step % num_batches
        left = loop.state.step < loop.state.epoch * num_batches
        for batch in loop.steps.batches(epoch, first) if left else ():
            if names := names_after_step(loop, batch):
                return NonFinite(loop.state.step - 1, names)
            if loop.state.step > problem.step:
                return problem
        loop.state.is_in_epoch = False
    return problem


def names_after_step(loop: Loop, batch: Batch) -> tuple[str, ...]:
    """Take a step; names of what was not finite in it: loss, gradients, then weights."""
    before, (noise, extras) = (
        loop.steps.trainer.weights(),
        loop.steps.inputs(batch, loop.state.step),
    )
    loop.steps.take(batch, loop.state)
    metrics, after = loop.steps.trainer.metrics(), non_finite_names(loop.steps.trainer.weights())
    if metrics["bad_step"] < 0 and not after:
        return ()
    run = loop.spec.at_stage(loop.steps.stage.name)
    weights = {**starting_weights(run), **before}
    loss, gradients = loop.backend.loss_and_gradients(
        run, weights, loop.steps.given_images(batch), batch.learned, noise, extras
    )
    broken = tuple(f"the gradient of {name}" for name in non_finite_names(gradients))
    losses = () if np.isfinite(loss) else ("the loss",)
    return (*losses, *broken, *after) or ("the loss",)
