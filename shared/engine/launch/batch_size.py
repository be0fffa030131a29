"""`--batch-size auto`: the largest power of two that fits, estimated and then tried."""

from collections.abc import Sequence

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.machine.memory import (
    SHARE_FOR_A_RUN,
    estimate_need,
    free_bytes,
    has_memory_sign,
    was_killed,
)
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.run import RunSpec

# Larger batches gain little speed and change the result of the training.
LARGEST = 512


def choose_batch_size(run: RunSpec, backends: Sequence[str], report: Report) -> RunSpec:
    """Choose the largest batch size that all of these backends can train the run with.

    Raises:
        UsageError: Not even one image fits into memory.
    """
    resolved, data = resolve(run)
    free = free_bytes()
    with data:
        limit = min(LARGEST, data.train.examples)
    # A batch cannot be larger than the training part; the estimate only saves hopeless trials.
    size = 1 << (limit.bit_length() - 1)
    if free is not None:
        size = min(size, estimate_need(resolved).largest_batch(int(SHARE_FOR_A_RUN * free)))
    # The size that one backend takes is the next one's start, so that all get the same size.
    for backend in backends:
        size = largest_that_runs(resolved.spec, backend, size)
    report({"event": "note", "text": f"--batch-size auto: {size}"})
    return with_batch_size(run, size)


def largest_that_runs(run: RunSpec, backend: str, size: int) -> int:
    """Halve the batch until two steps run in a process of their own.

    Raises:
        UsageError: Not even one image fits into memory.
    """
    last = ""
    while size:
        candidate = with_batch_size(run.replace(backend=backend), size)
        try:
            # A process for each trial, since one that needs too much memory may die of a signal.
            with Worker(backend) as worker:
                worker.call(Operations.try_steps, run=candidate.model_dump(mode="json"))
            return size
        except (CheckFailed, WorkerCrashed) as error:
            last = str(error).splitlines()[0]
            if not is_want_of_memory(str(error)):
                raise
        size //= 2
    raise UsageError(
        f"Got --batch-size auto for the model {run.model_spec.name!r}, of which not even one image "
        f"fits into memory ({last}). Expected a smaller model or image. Try setting "
        "data.image_size."
    )


def is_want_of_memory(text: str) -> bool:
    """Tell if a trial ended for lack of memory, as far as its message shows.

    TensorFlow answers a refused allocation with a broken pointer, and so dies of any signal.
    """
    died = "exit status -" in text or was_killed(text)
    return died or has_memory_sign(text) or "memory ended" in text


def with_batch_size(run: RunSpec, size: int) -> RunSpec:
    """Return the run with another batch size."""
    return run.replace(data={**run.data.model_dump(mode="json"), "batch_size": size})
