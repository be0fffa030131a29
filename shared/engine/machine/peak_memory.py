"""The most memory that a process has held so far, as the system counts it."""

import resource
import sys


def own_peak_bytes() -> int:
    """Return the bytes of this process at its peak."""
    return to_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_bytes_of_children() -> int:
    """Return the bytes of the largest ended child of this process: at least the worker's peak."""
    return to_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def to_bytes(resident: int) -> int:
    """Return the bytes of `ru_maxrss`, which counts bytes on macOS and kibibytes elsewhere."""
    return resident if sys.platform == "darwin" else resident * 1024
