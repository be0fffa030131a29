"""The shared memory that reading processes hand their batches over in, and whether there is enough.

A container often has 64 MB of it. A process that writes past the end is killed by a signal, long
after the start and without a word.
"""

import math
import os
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec

from .datasets import RunData

FOLDER = Path("/dev/shm")
# Batches that are alive at once: in the queue and the hands of each process, and in this one's
# (measured with Grain 0.2.18; tests/shared/test_shared_memory.py measures it again).
BATCHES_A_WORKER, BATCHES_HERE = 6, 1
MIB = 1 << 20


def require_shared_memory(run: RunSpec, data: RunData) -> None:
    """Refuse a number of reading processes that the shared memory cannot serve.

    Raises:
        UsageError: Says what they need, what there is, and how many fit.
    """
    workers, free = run.data.num_workers, free_shared_bytes()
    needed = shared_bytes(run, data, workers)
    if free is None or needed <= free:
        return
    fitting = [count for count in range(1, workers) if shared_bytes(run, data, count) <= free]
    fewer = f"data.num_workers={fitting[-1]} or 0" if fitting else "data.num_workers=0"
    raise UsageError(
        f"received data.num_workers={workers} with batches of {run.data.batch_size} images, whose "
        f"processes need up to {needed / MIB:,.0f} MiB of shared memory; {FOLDER} has "
        f"{free / MIB:,.0f} MiB free: set {fewer}, lower data.batch_size or data.image_size, or "
        f"give more (docker run --shm-size={math.ceil(needed / MIB)}m)"
    )


def shared_bytes(run: RunSpec, data: RunData, num_workers: int) -> int:
    """The most that all reading processes of a run need at once; each part has its own.

    Pixels cross as bytes, at the largest size of any stage.
    """
    pixels = max(
        math.prod(run.at_stage(stage.name).network.input_shape[:2]) for stage in run.stages
    )
    pipelines = (data.train, data.val, data.test, data.train_as_evaluated)
    images = sum(
        run.data.batch_size * pipeline.num_views
        for pipeline in pipelines
        if pipeline is not None and pipeline.num_workers
    )
    channels = run.network.input_shape[2]
    return images * pixels * channels * (BATCHES_A_WORKER * num_workers + BATCHES_HERE)


def free_shared_bytes() -> int | None:
    """Bytes that the shared memory has left; none: there is no such folder."""
    try:
        status = os.statvfs(FOLDER)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize
