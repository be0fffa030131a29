"""How much of the machine other programs use while something is timed."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

# Share of all processors that others may use before a time is called one of a loaded machine.
MAX_OTHER_SHARE = 0.10
# The system counts in hundredths of a second, so that shorter spans say nothing.
MIN_SECONDS = 0.5
# How long is looked before a run starts.
LOOK_SECONDS = 0.1
# What holds the threads of one operation in each backend.
THREADS = {"tf": "TF_NUM_INTRAOP_THREADS", "torch": "OMP_NUM_THREADS"}


def busy_seconds() -> tuple[float, float] | None:
    """(of the whole machine, of this process and all that it started); none where unknown."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    fields = [int(text) for text in path.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    busy = sum(fields[:8]) - fields[3] - fields[4]
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return busy / os.sysconf("SC_CLK_TCK"), mine + sum(living_children().values())


def living_children() -> dict[int, float]:
    """Processor seconds of each process below this one that still runs, by its number.

    Those that have ended are among the times of the process that waited for them.
    """
    seconds: dict[int, float] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold blanks and brackets.
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # It ended meanwhile.
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        seconds[number] = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    found: set[int] = set()
    while below := {n for n, p in parents.items() if p in {os.getpid(), *found}} - found:
        found |= below
    return {number: seconds[number] for number in found}


def other_seconds(
    before: tuple[float, float] | None, after: tuple[float, float] | None
) -> float | None:
    """Processor seconds that others used meanwhile; none where it is not known."""
    if before is None or after is None:
        return None
    return max((after[0] - before[0]) - (after[1] - before[1]), 0.0)


def other_share(
    before: tuple[float, float] | None, after: tuple[float, float] | None, seconds: float
) -> float | None:
    """Share of all processors that others used meanwhile; none where it is not known.

    On a machine of two processors, 0.5 means that others kept one of them busy.
    """
    others = other_seconds(before, after)
    return None if others is None or seconds <= 0 else others / (seconds * (os.cpu_count() or 1))


class LoadMeter:
    """What others used of all processors while a run trained, in all of its processes."""

    def __init__(self) -> None:
        self._started, self._busy = time.monotonic(), busy_seconds()

    def add_to(self, seconds: dict[str, float]) -> None:
        """Add the span since the meter was started to a run's `watched` and `others`; start anew.

        Args:
            seconds: Those of the loop's state, which a resumed run goes on with.
        """
        now, busy = time.monotonic(), busy_seconds()
        others = other_seconds(self._busy, busy)
        if others is not None:
            seconds["watched"] = seconds.get("watched", 0.0) + now - self._started
            seconds["others"] = seconds.get("others", 0.0) + others
        self._started, self._busy = now, busy


def watched_share(seconds: Mapping[str, float]) -> float | None:
    """Of all processors, from what meters added up; none where that says nothing."""
    watched = seconds.get("watched", 0.0)
    if watched < MIN_SECONDS:
        return None
    return seconds["others"] / (watched * (os.cpu_count() or 1))


def describe_neighbours(backend: str, seconds: float = LOOK_SECONDS) -> str:
    """What to type where others are busy now; empty where they are not, or threads are limited.

    Threads that wait for each other lose more beside a busy program than it takes (docs/bench.md).
    Their number is left alone: another number adds up in another order, and the same command would
    give other digits on a busy day.
    """
    variable, num_processors = THREADS[backend], os.cpu_count() or 1
    if variable in os.environ or num_processors == 1:
        return ""
    before = busy_seconds()
    time.sleep(seconds)
    others = other_seconds(before, busy_seconds())
    num_busy = 0 if others is None else round(others / seconds)
    if num_busy < 1:
        return ""
    free = max(num_processors - num_busy, 1)
    return (
        f"other programs keep about {num_busy} of {num_processors} processors busy: times are not "
        f"to be trusted, and {variable}={free} before the command is probably faster (another "
        "number of threads gives other last digits)"
    )
