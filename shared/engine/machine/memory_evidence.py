"""Evidence of the machine that memory ended a worker which a signal has killed.

Signal 9 comes from the kernel when memory ends, and from people, schedulers and supervisors. The
kernel counts the processes that it ended for want of memory. A worker that was larger than the
memory free after its end, or a step that needs more, fits an end of memory and does not prove it.
"""

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
from .peak_memory import peak_bytes_of_children

# The counter of the container, or otherwise of the entire machine.
COUNTERS = (memory.CGROUP / "memory.events", Path("/proc/vmstat"))
# A worker that held such a share of the memory free after it left next to nothing to others.
LARGE_SHARE = 0.9
KERNEL_SIGN = "the kernel ended a process for want of memory"


class MemoryEvidence:
    """The kernel's counter before a worker starts, compared with the counter after its death."""

    def __init__(self, kills: int | None) -> None:
        self._kills = kills

    @classmethod
    def before(cls) -> Self:
        """Read the counter; call this before the worker starts."""
        return cls(count_kills())

    def explain(self, run: RunSpec, message: str) -> str:
        """Write a message about memory; "" if nobody would suspect that memory ended.

        Args:
            run: The resolved run that the worker trained.
            message: Report of its end, with its exit status and its last words.
        """
        if self.has_kernel_killed():
            return f"While it ran {KERNEL_SIGN}, probably this one. {describe_memory_error(run)}"
        if has_memory_sign(message) or (has_died(message) and fits_memory(run)):
            return describe_memory_error(run, is_certain=False)
        return self._exonerate(run) if was_killed(message) else ""

    def has_kernel_killed(self) -> bool:
        """Say if the kernel has ended a process for want of memory since the first reading."""
        kills = count_kills()
        return self._kills is not None and kills is not None and kills > self._kills

    def _exonerate(self, run: RunSpec) -> str:
        """Write that nothing points to memory, with the facts."""
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
    """Count the processes that the kernel ended for want of memory; None if it does not say."""
    for path in COUNTERS:
        try:
            rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
            return next(int(row[1]) for row in rows if row[0] == "oom_kill")
        except (OSError, StopIteration, ValueError, IndexError):
            continue
    return None


def has_died(message: str) -> bool:
    """Say if a signal ended the worker.

    Some libraries answer a refused allocation with a broken pointer, and so with another signal.
    """
    return was_killed(message) or "exit status -" in message


def fits_memory(run: RunSpec) -> bool:
    """Say if the worker may have found too little memory, judged after its end."""
    free, need = free_bytes(), needed_bytes(run)
    if free is None:
        return False
    return peak_bytes_of_children() >= LARGE_SHARE * free or (need is not None and need > free)


def needed_bytes(run: RunSpec) -> int | None:
    """Return the bytes that a step needs, or None before the images are known."""
    if run.input_shape is None or run.num_classes is None:
        return None
    return estimate_need(resolve_networks(run)).total_bytes(run.data.batch_size)
