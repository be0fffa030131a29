"""Search for the first tensor that is not finite, and for its step.

During training, the device only counts the steps before the first non-finite loss, so that no step
waits. If that count falls short, the steps since the last checkpoint are taken again, one at a
time, until the first tensor that is not finite is found. A healthy run pays nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Batch
from poc.shared.engine.backend import Backend
from poc.shared.engine.folder.checkpoints import Checkpoint
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.run_data import RunData
from poc.shared.engine.teacher import starting_weights
from poc.shared.errors import CheckFailed
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.stages import find_stage

from .judged_weights import handed_on
from .stage import StageSteps, stand_at

# With more steps to repeat, the search would cost more time than a tensor's name is worth.
MAX_REPEATED_STEPS = 2000
# These words are in every such error, and in no other one.
SIGN = "that are not finite at step"


class NonFinite(Exception):  # noqa: N818 - a finding, which becomes a CheckFailed
    """Finding of a value that is not finite.

    Attributes:
        step: First step at which the value shows.
        tensors: Names of the tensors, if they are known.
    """

    def __init__(self, step: int, tensors: tuple[str, ...] = ()) -> None:
        super().__init__(step)
        self.step, self.tensors = step, tensors


def check_finite(checkpoint: Checkpoint, first_step: int, step: int) -> None:
    """Refuse to save values that are not finite.

    Args:
        checkpoint: About to be written, after `step` steps.
        first_step: Index of the first step that its counts cover.
        step: Number of steps taken so far.

    Raises:
        NonFinite: A loss since `first_step`, or a weight, is not finite.
    """
    good = int(checkpoint.counts.get("good_steps", 0))
    # The counter stops at the first non-finite loss, which may have left all weights finite.
    if good < checkpoint.counts["num_steps"]:
        raise NonFinite(first_step + good)
    if tensors := non_finite_names(checkpoint.weights):
        raise NonFinite(step - 1, tensors)


def non_finite_names(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the names of the floats (…) that hold a NaN or an infinity."""
    return tuple(
        name
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    )


def find_non_finite(
    run: ResolvedRun,
    backend: Backend,
    data: RunData,
    checkpoint: Checkpoint | None,
    problem: NonFinite,
) -> CheckFailed:
    """Take the steps since the last checkpoint again, and return the error that names the tensor.

    Args:
        run: Resolved run.
        backend: The backend of the run.
        data: The run's opened data.
        checkpoint: The last saved checkpoint; none: the run has saved nothing.
        problem: The finding so far, with its step.
    """
    saved = checkpoint.loop.step if checkpoint else 0
    found = problem
    # A rank alone sees its part of a batch; several would not agree on where to stop the search.
    if problem.step - saved < MAX_REPEATED_STEPS and data.shard.count == 1:
        steps = stand_at(run, backend, data, checkpoint)
        state = replace(checkpoint.loop) if checkpoint else LoopState()
        found = repeat_steps(steps, backend, state, problem)
    kept = f"the checkpoint after step {saved - 1} is kept" if saved else "nothing was saved yet"
    return CheckFailed(
        f"Got values of {describe_tensors(found.tensors)} {SIGN} "
        f"{found.step} (epoch {found.step // data.train.num_batches + 1}). Expected finite "
        f"values; {kept}. Try a lower optimizer.learning_rate, or look at the data."
    )


def is_non_finite(error: str) -> bool:
    """Return whether the text of an error is the one of a loss or weight that is not finite."""
    return SIGN in error


def describe_tensors(names: tuple[str, ...]) -> str:
    """Return the first name, and how many more there are."""
    if not names:
        return "the loss"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def repeat_steps(
    steps: StageSteps, backend: Backend, state: LoopState, problem: NonFinite
) -> NonFinite:
    """Repeat steps one by one up to the problem; return the first finding, or the problem itself.

    Args:
        steps: The steps of the stage that `state` is in.
        backend: The backend of the run.
        state: The last checkpoint's state, which the steps move on.
        problem: The finding so far, with its step.
    """
    num_batches = steps.data.train.num_batches
    while state.step <= problem.step:
        epoch = state.step // num_batches
        stage = find_stage(steps.whole_run.stages, epoch + 1)
        if stage != steps.stage:
            # As the loop begins a stage: with the weights of the former one and the full rate.
            weights = handed_on(steps)
            # Both trainers together may not fit.
            steps.free()
            steps = StageSteps(steps.whole_run, stage, backend, steps.data, weights)
            state.rate_factor = 1.0
        for batch in steps.batches(epoch, state.step % num_batches):
            if names := names_after_step(steps, backend, batch, state):
                return NonFinite(state.step - 1, names)
            if state.step > problem.step:
                return problem
    return problem


def names_after_step(
    steps: StageSteps, backend: Backend, batch: Batch, state: LoopState
) -> tuple[str, ...]:
    """Take a step and name what was not finite in it: loss, gradients, then weights."""
    before, (noise, extras) = steps.trainer.weights(), steps.inputs(batch, state.step)
    steps.take(batch, state)
    metrics, after = steps.trainer.metrics(), non_finite_names(steps.trainer.weights())
    if metrics["bad_step"] < 0 and not after:
        return ()
        # A step returns no gradients, so they are computed again from the weights before it.
    weights = {**starting_weights(steps.run), **before}
    loss, gradients = backend.loss_and_gradients(
        steps.run, weights, steps.given_images(batch), batch.learned, noise, extras
    )
    broken = tuple(f"the gradient of {name}" for name in non_finite_names(gradients))
    losses = () if np.isfinite(loss) else ("the loss",)
    return (*losses, *broken, *after) or ("the loss",)
