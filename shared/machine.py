"""The machine that this process runs on."""

import os
import time
from pathlib import Path

# A command is imported a moment after its process began. Another number comes from a clock that
# this system counts otherwise.
MOST_SECONDS = 60.0


def count_cpus() -> int:
    """Return the number of processors that this process may use."""
    # A container or `taskset` may grant fewer than the machine has; macOS cannot say.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_process_start() -> float:
    """Return when this process began, by the clock of `time.monotonic`; now, if it is not known."""
    now = time.monotonic()
    try:
        # Field 22 of the line; the name in the second field may contain blanks and brackets.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - age if 0 <= age <= MOST_SECONDS else now
