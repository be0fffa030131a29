"""The shared memory that reading processes hand their batches over in, and whether there is enough.

A container often has 64 MB of it. A process that writes past the end is killed by a signal, long
after the start and without a word.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

from poc.shared.errors import UsageError

FOLDER = Path("/dev/shm")
# Batches that are alive at once: in the queue and the hands of each process, and in this one's
# (measured with Grain 0.2.18; tests/shared/data/batches/test_shared_memory.py measures it again).
BATCHES_A_WORKER, BATCHES_HERE = 6, 1
MIB = 1 << 20


def batches_alive(num_workers: int) -> int:
    """Batches of one part that exist at once, at most."""
    return BATCHES_A_WORKER * num_workers + BATCHES_HERE


def free_shared_bytes() -> int | None:
    """Bytes that the shared memory has left; none: there is no such folder."""
    try:
        status = os.statvfs(FOLDER)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def require_room(needed: Callable[[int], int], num_workers: int, batch_size: int) -> None:
    """Refuse a number of reading processes that the shared memory cannot serve.

    Args:
        needed: Number of processes -> bytes.
        num_workers: How many are wanted.
        batch_size: Named in the message.

    Raises:
        UsageError: Says what they need, what there is, and how many fit.
    """
    free, wanted = free_shared_bytes(), needed(num_workers)
    if free is None or not num_workers or wanted <= free:
        return
    fitting = [count for count in range(1, num_workers) if needed(count) <= free]
    fewer = f"data.num_workers={fitting[-1]} or 0" if fitting else "data.num_workers=0"
    raise UsageError(
        f"Got data.num_workers={num_workers} with batches of {batch_size} images, whose "
        f"processes need up to {wanted / MIB:,.0f} MiB of shared memory. Expected at most the "
        f"{free / MIB:,.0f} MiB that {FOLDER} has free. Try {fewer}, lower data.batch_size or "
        f"data.image_size, or give more (docker run --shm-size={math.ceil(wanted / MIB)}m)."
    )
