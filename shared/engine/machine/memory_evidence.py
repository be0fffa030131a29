"""What a worker's end by a signal has to do with memory, as far as the machine tells.

Signal 9 comes from the kernel where memory ends, and from people, schedulers and supervisors. The
kernel counts whom it ended for want of memory; beside that, a worker that was larger than what is
free after its end, or a step that needs more, fits an end of memory and proves none.
"""

import resource
from pathlib import Path
from typing import Self

from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

from . import memory
from .memory import (
    describe_memory_error,
    estimate_need,
    free_bytes,
    has_memory_sign,
    show_bytes,
    was_killed,
)

# Of the container; where there is none, of the whole machine.
COUNTERS = (memory.CGROUP / "memory.events", Path("/proc/vmstat"))
# A worker that held so much of what is free after it left next to nothing to others.
LARGE_SHARE = 0.9
KERNEL_SIGN = "the kernel ended a process for want of memory"


class MemoryEvidence:
    """Looks at the kernel's counter before a worker starts, and again once it has died."""

    def __init__(self, kills: int | None) -> None:
        self._kills = kills

    @classmethod
    def before(cls) -> Self:
        """To be called before the worker starts."""
        return cls(count_kills())

    def explain(self, run: RunSpec, message: str) -> str:
        """A sentence about memory; empty where nothing is to be said.

        Args:
            run: What the worker trained, resolved.
            message: What is known of its end, with its exit status and its last words.
        """
        if self.has_kernel_killed():
            return f"While it ran {KERNEL_SIGN}, likely this; {describe_memory_error(run)}."
        if has_memory_sign(message) or (has_died(message) and fits_memory(run)):
            return f"Perhaps {describe_memory_error(run, is_certain=False)}."
        return self._exonerate(run) if was_killed(message) else ""

    def has_kernel_killed(self) -> bool:
        """Whether the kernel has ended a process for want of memory since."""
        kills = count_kills()
        return self._kills is not None and kills is not None and kills > self._kills

    def _exonerate(self, run: RunSpec) -> str:
        """That nothing points to memory, and why."""
        facts = [] if self._kills is None else ["the kernel counted no such end"]
        if (free := free_bytes()) is not None:
            facts.append(f"{show_bytes(free)} are free")
        if (need := needed_bytes(run)) is not None:
            facts.append(f"a step needs about {show_bytes(need)}")
        return (
            "Something ended it by signal 9: a person, a scheduler or a supervisor. Nothing points "
            f"to memory ({', '.join(facts) or 'of which nothing is known here'})."
        )


def count_kills() -> int | None:
    """Processes that the kernel has ended for want of memory; none: it does not say."""
    for path in COUNTERS:
        try:
            rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
            return next(int(row[1]) for row in rows if row[0] == "oom_kill")
        except (OSError, StopIteration, ValueError, IndexError):
            continue
    return None


def has_died(message: str) -> bool:
    """Whether a signal ended the worker.

    Some libraries answer a refused allocation with a broken pointer, and so with another signal.
    """
    return was_killed(message) or "exit status -" in message


def fits_memory(run: RunSpec) -> bool:
    """Whether the worker may have found too little memory, judged after its end."""
    free, need = free_bytes(), needed_bytes(run)
    if free is None:
        return False
    return peak_bytes_of_children() >= LARGE_SHARE * free or (need is not None and need > free)


def needed_bytes(run: RunSpec) -> int | None:
    """What a step needs, where the images are known."""
    if run.input_shape is None or run.num_classes is None:
        return None
    return estimate_need(resolve_networks(run)).total_bytes(run.data.batch_size)


def peak_bytes_of_children() -> int:
    """Resident memory of the largest ended child of this process: no less than the worker's."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
