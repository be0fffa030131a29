"""A check, before a run starts, that its reading processes have enough shared memory."""

import math

from poc.shared.data.batches.shared_memory import batches_alive, require_room
from poc.shared.engine.run_data import RunData
from poc.shared.spec.resolved import ResolvedRun


def require_shared_memory(run: ResolvedRun, data: RunData) -> None:
    """Refuse a run with more reading processes than the shared memory can serve.

    Raises:
        UsageError: The message says how much they need, how much there is, and how many fit.
    """
    # Without room a process would be killed by a signal, long after the start, without a message.
    images = images_of_batches(run, data)
    if images:
        require_room(
            lambda count: shared_bytes(run, images, count),
            run.spec.data.num_workers,
            run.spec.data.batch_size,
        )


def images_of_batches(run: ResolvedRun, data: RunData) -> int:
    """Count the images in one batch of each part that has reading processes."""
    pipelines = (data.train, data.val, data.test, data.train_as_evaluated)
    # Added up, since each part has processes of its own, which stay alive between its epochs.
    return sum(
        run.spec.data.batch_size * pipeline.num_views
        for pipeline in pipelines
        if pipeline is not None and pipeline.num_workers
    )


def shared_bytes(run: ResolvedRun, images: int, num_workers: int) -> int:
    """Return the largest number of bytes in use at once; a pixel takes one byte per channel."""
    # A pipeline is made for each stage; the largest of them decides.
    pixels = max(
        math.prod(run.at_stage(stage.name).network.input_shape[:2]) for stage in run.stages
    )
    return images * pixels * run.network.input_shape[2] * batches_alive(num_workers)
