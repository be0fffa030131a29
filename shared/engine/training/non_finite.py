"""What is not finite, and since which step.

While training, the device only counts the steps before the first non-finite loss, so that no step
waits. When that count falls short, the steps since the last checkpoint are taken again, one at a
time, until the first tensor that is not finite is found: a healthy run pays nothing.
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

from .stage import StageSteps, stand_at

# Beyond this the search would cost more than it tells.
MAX_REPEATED_STEPS = 2000


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


def find_non_finite(
    run: ResolvedRun,
    backend: Backend,
    data: RunData,
    checkpoint: Checkpoint | None,
    problem: NonFinite,
) -> CheckFailed:
    """Take the steps since the last checkpoint again; returns the error that names the tensor.

    Args:
        run: Resolved run.
        backend: That of the run.
        data: Its opened data.
        checkpoint: The last one that was saved; none: the run has saved nothing.
        problem: What is known of it so far.
    """
    saved = checkpoint.loop.step if checkpoint else 0
    found = problem
    if problem.step - saved < MAX_REPEATED_STEPS:
        steps = stand_at(run, backend, data, checkpoint)
        state = replace(checkpoint.loop) if checkpoint else LoopState()
        found = repeat_steps(steps, backend, state, problem)
    kept = f"the checkpoint after step {saved - 1} is kept" if saved else "nothing was saved yet"
    return CheckFailed(
        f"{describe_tensors(found.tensors)} not finite at step {found.step} "
        f"(epoch {found.step // data.train.num_batches + 1}); {kept}: lower "
        "optimizer.learning_rate or look at the data"
    )


def describe_tensors(names: tuple[str, ...]) -> str:
    """The first name and how many more there are, with its verb."""
    if not names:
        return "the loss is"
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{more}"


def repeat_steps(
    steps: StageSteps, backend: Backend, state: LoopState, problem: NonFinite
) -> NonFinite:
    """Step by step up to the problem; the first finding, or the problem itself.

    Args:
        steps: Those of the stage in which `state` stands.
        backend: That of the run.
        state: Of the last checkpoint; moved on.
        problem: See above.
    """
    num_batches = steps.data.train.num_batches
    while state.step <= problem.step:
        epoch = state.step // num_batches
        stage = find_stage(steps.whole_run.stages, epoch + 1)
        if stage != steps.stage:
            weights = steps.trainer.weights()
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
    """Take a step; names of what was not finite in it: loss, gradients, then weights."""
    before, (noise, extras) = steps.trainer.weights(), steps.inputs(batch, state.step)
    steps.take(batch, state)
    metrics, after = steps.trainer.metrics(), non_finite_names(steps.trainer.weights())
    if metrics["bad_step"] < 0 and not after:
        return ()
    weights = {**starting_weights(steps.run), **before}
    loss, gradients = backend.loss_and_gradients(
        steps.run, weights, steps.given_images(batch), batch.learned, noise, extras
    )
    broken = tuple(f"the gradient of {name}" for name in non_finite_names(gradients))
    losses = () if np.isfinite(loss) else ("the loss",)
    return (*losses, *broken, *after) or ("the loss",)
