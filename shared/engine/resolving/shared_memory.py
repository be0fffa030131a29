"""What all reading processes of a run need of the shared memory, asked for before it starts."""

import math

from poc.shared.data.batches.shared_memory import batches_alive, require_room
from poc.shared.engine.run_data import RunData
from poc.shared.spec.resolved import ResolvedRun


def require_shared_memory(run: ResolvedRun, data: RunData) -> None:
    """Refuse more processes than the shared memory can serve.

    Raises:
        UsageError: Says what they need, what there is, and how many fit.
    """
    images = images_of_batches(run, data)
    if images:
        require_room(
            lambda count: shared_bytes(run, images, count),
            run.spec.data.num_workers,
            run.spec.data.batch_size,
        )


def images_of_batches(run: ResolvedRun, data: RunData) -> int:
    """Images in one batch of every part that processes read: each part has its own processes."""
    pipelines = (data.train, data.val, data.test, data.train_as_evaluated)
    return sum(
        run.spec.data.batch_size * pipeline.num_views
        for pipeline in pipelines
        if pipeline is not None and pipeline.num_workers
    )


def shared_bytes(run: ResolvedRun, images: int, num_workers: int) -> int:
    """The most that is alive at once; pixels cross as bytes, at the largest size of any stage."""
    pixels = max(
        math.prod(run.at_stage(stage.name).network.input_shape[:2]) for stage in run.stages
    )
    return images * pixels * run.network.input_shape[2] * batches_alive(num_workers)
