"""How much of the machine other programs use while something is timed."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

# Share of all processors that other programs may use before reports warn about the times.
MAX_OTHER_SHARE = 0.10
# The system counts in hundredths of a second, so that shorter spans say nothing.
MIN_SECONDS = 0.5
# Span that is watched before a run starts.
LOOK_SECONDS = 0.1
# Variables that set the number of threads of one operation.
THREADS = {"tf": "TF_NUM_INTRAOP_THREADS", "torch": "OMP_NUM_THREADS"}
# Further processes of this machine that belong to the run, such as its other ranks, and the seconds
# of each of their trees when they were last seen.
COMPANIONS: dict[int, float] = {}


def busy_seconds() -> tuple[float, float] | None:
    """Return busy processor seconds: (the entire machine, this process and all it started).

    Companions count as this process does. None if the system does not say.
    """
    path = Path("/proc/stat")
    if not path.exists():
        return None
    fields = [int(text) for text in path.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    busy = sum(fields[:8]) - fields[3] - fields[4]
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return busy / os.sysconf("SC_CLK_TCK"), mine + sum(living_children().values()) + companions()


def count_as_own(numbers: Iterable[int]) -> None:
    """Count processes of this machine, and all that they start, as parts of this one's run."""
    for number in numbers:
        if number != os.getpid():
            COMPANIONS.setdefault(number, 0.0)


def companions() -> float:
    """Return processor seconds of all companions; those that have ended keep their last ones."""
    for number in COMPANIONS:
        seen = sum(living_children(number).values())
        COMPANIONS[number] = max(COMPANIONS[number], seen)
    return sum(COMPANIONS.values())


def living_children(parent: int | None = None) -> dict[int, float]:
    """Return processor seconds of each running process below this one, by process number.

    The system adds the seconds of an ended process to the process that waited for it.

    Args:
        parent: Another process to look below; it is among those that are returned.
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
    found = {parent} & seconds.keys() if parent is not None else set()
    top = {os.getpid()} if parent is None else set()
    while below := {n for n, p in parents.items() if p in {*top, *found}} - found:
        found |= below
    return {number: seconds[number] for number in found}


def other_seconds(
    before: tuple[float, float] | None, after: tuple[float, float] | None
) -> float | None:
    """Return processor seconds that other programs used between two readings, or None."""
    if before is None or after is None:
        return None
    return max((after[0] - before[0]) - (after[1] - before[1]), 0.0)


def other_share(
    before: tuple[float, float] | None, after: tuple[float, float] | None, seconds: float
) -> float | None:
    """Return the share of all processors that other programs used meanwhile, or None if unknown.

    On a machine with two processors, 0.5 means that other programs kept one of them busy.
    """
    others = other_seconds(before, after)
    return None if others is None or seconds <= 0 else others / (seconds * (os.cpu_count() or 1))


class LoadMeter:
    """Meter of the processor time of other programs while a run trains, over all its processes."""

    def __init__(self) -> None:
        self._started, self._busy = time.monotonic(), busy_seconds()

    def add_to(self, seconds: dict[str, float]) -> None:
        """Add the span since the last start to `watched` and `others`, and start again.

        Args:
            seconds: Seconds of the loop's state, with which a resumed run goes on.
        """
        now, busy = time.monotonic(), busy_seconds()
        others = other_seconds(self._busy, busy)
        if others is not None:
            seconds["watched"] = seconds.get("watched", 0.0) + now - self._started
            seconds["others"] = seconds.get("others", 0.0) + others
        self._started, self._busy = now, busy


def watched_share(seconds: Mapping[str, float]) -> float | None:
    """Return the share of all processors that meters added up, or None if they saw too little."""
    watched = seconds.get("watched", 0.0)
    if watched < MIN_SECONDS:
        return None
    return seconds["others"] / (watched * (os.cpu_count() or 1))


def describe_neighbours(backend: str, seconds: float = LOOK_SECONDS) -> str:
    """Say what to type if other programs are busy now; "" if not, or if threads are limited.

    Threads that wait for each other lose more time than a busy program takes (docs/bench.md). Their
    number is not changed: another number adds up in another order, and the same command would give
    other digits on a busy day.
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
        f"Other programs keep about {num_busy} of {num_processors} processors busy, so do not "
        f"trust times. {variable}={free} before the command is probably faster (another number "
        "of threads gives other last digits)."
    )
