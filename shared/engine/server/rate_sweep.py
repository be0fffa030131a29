"""One short sweep of the learning rate over the train part; nothing else of the data is opened."""

import itertools
import math
from collections.abc import Iterator, Sequence

from poc.shared.data.batches.pipeline import Batch
from poc.shared.engine.backend import Backend
from poc.shared.engine.console.work_count import Report, WorkCount, noting
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.numerics.rate_curve import half_window, has_diverged
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.training.stage import StageSteps
from poc.shared.engine.worker.operations import SweptRates
from poc.shared.spec.run import RunSpec


def sweep_rates(
    backend: Backend, spec: RunSpec, learning_rates: Sequence[float], report: Report
) -> SweptRates:
    """Take one step at each rate, from the run's initial weights, until the losses diverge.

    Batches, masks and weights are those of the run's first steps. If these are more than its train
    part has, the next epoch follows.

    Raises:
        UsageError: The run cannot be trained on its data.
    """
    run, data = resolve(spec, noting(report), is_for_training=True, is_train_alone=True)
    half = half_window(len(learning_rates))
    losses: list[float] = []
    with data:
        backend.prepare(run.spec)
        steps, state = StageSteps(run, run.stages[0], backend, data, {}), LoopState()
        count = WorkCount(report, f"sweep of the rate, {spec.backend}", len(learning_rates))
        for batch, rate in zip(batches(steps), learning_rates, strict=False):
            steps.take(batch, state, rate)
            losses.append(float(steps.trainer.metrics()["loss"]))
            count(state.step)
            if has_diverged(losses, half):
                break
    is_diverged = has_diverged(losses, half)
    return {
        "losses": [loss for loss in losses if math.isfinite(loss)],
        "is_diverged": is_diverged,
        "stage": steps.stage.name,
        "run": run.spec.model_dump(mode="json"),
    }


def batches(steps: StageSteps) -> Iterator[Batch]:
    """Yield the batches of one epoch after the other, without an end."""
    for epoch in itertools.count():
        yield from steps.batches(epoch, 0)
