"""The machine that this process runs on."""

import os


def count_cpus() -> int:
    """Return the number of processors that this process may use."""
    # A container or `taskset` may grant fewer than the machine has; macOS cannot say.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
