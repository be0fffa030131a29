"""Some steps on noise before a run begins, to see if it fits into memory."""

import math

import numpy as np

from poc.shared.engine.backend import Backend
from poc.shared.engine.machine.memory import describe_memory_error, is_memory_error
from poc.shared.engine.step_numbers import group_batches, inputs_of_step
from poc.shared.engine.teacher import starting_weights, step_coefficients
from poc.shared.errors import CheckFailed
from poc.shared.files.arrays import Array
from poc.shared.spec.resolved import ResolvedRun

# Images of a trial divided by those of a batch: a run also holds its data in memory.
TRIAL_MARGIN = 1.25


def try_steps(backend: Backend, run: ResolvedRun, num_steps: int) -> None:
    """Take some steps and an evaluation on noise.

    Args:
        backend: The backend, prepared for the run.
        run: The run.
        num_steps: Steps of training.

    Raises:
        CheckFailed: Memory has ended.
    """
    size = math.ceil(TRIAL_MARGIN * run.spec.data.batch_size)
    images = np.random.default_rng(0).random((size, *run.network.input_shape), dtype=np.float32)
    labels = make_labels(run, size)
    try:
        trainer = backend.Trainer(run, starting_weights(run))
        grouping = group_batches(run, [size] * num_steps)
        for step in range(num_steps):
            noise, numbers = inputs_of_step(run, grouping, step)
            extras = step_coefficients(run, 0.0, labels) | numbers
            trainer.step(images, labels, 1e-3, noise, extras)
        # A device may fail after the call has returned.
        trainer.wait()
        trainer.logits(images)
    except Exception as error:
        if is_memory_error(error):
            raise CheckFailed(describe_memory_error(run.spec)) from None
        raise


def make_labels(run: ResolvedRun, size: int) -> Array:
    """Return labels as the run's data give them: (N,) int64, or (N, num_classes) float32."""
    if run.spec.loss.is_binary:
        return np.zeros((size, run.network.num_classes), dtype=np.float32)
    return np.zeros(size, dtype=np.int64)
