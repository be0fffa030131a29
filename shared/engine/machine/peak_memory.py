"""The most memory that a process has held so far, as the system counts it."""

import resource
import sys
from pathlib import Path

# Linux writes the peak of this process there, in kB.
STATUS = Path("/proc/self/status")


def own_peak_bytes() -> int:
    """Return the bytes of this process at its peak."""
    try:
        lines = STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError, IndexError):
        # Second choice: on Linux a process begins with the peak of the one that has started it.
        return to_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_bytes_of_children() -> int:
    """Return the bytes of the largest ended child of this process: at least the worker's peak.

    On Linux a child begins with the peak that this process has when it starts it. Up to there the
    number says nothing about the child.
    """
    return to_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def to_bytes(resident: int) -> int:
    """Return the bytes of `ru_maxrss`, which counts bytes on macOS and kibibytes elsewhere."""
    return resident if sys.platform == "darwin" else resident * 1024
