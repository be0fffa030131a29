"""`poc bench`: processes in turn, their raw samples in one file."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.bench import BenchSpec, Side

from .executors import added_to_environment
from .worker import Worker, WorkerCrashed

Report = Callable[[str], None]
FORMAT = "poc bench 1"
# What a mode that this machine or this run does not know may end in.
FAILURES = (UsageError, CheckFailed, WorkerCrashed)


def run_bench(
    spec: BenchSpec, *, command: str, report: Report, failures: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Time every side in processes of its own, in the order A B, B A and so on.

    Args:
        spec: What to time, and how often.
        command: The command line, kept in the result.
        report: Told which process comes next, and which side does not run.
        failures: Sides, by their place, that are known not to run, and why.

    Returns:
        What a bench file holds but for the parity verdict: the spec of the sides that ran, the
        machine's load and every process with its raw samples; `failures` has the other sides.

    Raises:
        CheckFailed: No side runs.
    """
    started, busy = time.time(), busy_seconds()
    order = spec.order()
    processes, failed = [], dict(failures or {})
    for number, (turn, index) in enumerate(order, start=1):
        side = spec.sides[index]
        if index in failed:
            continue
        report(f"process {number} of {len(order)}: {side.name}")
        try:
            processes.append({"round": turn, "side": index, **time_process(spec, side)})
        except FAILURES as error:
            failed[index] = first_line(error)
            report(f"{side.name} does not run: {failed[index]}")
    ran, processes = leave_out(spec, failed, processes)
    return {
        "format": FORMAT,
        "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "wall_seconds": time.time() - started,
        "other_processor_share": other_share(busy, busy_seconds(), time.time() - started),
        "spec": ran.model_dump(mode="json"),
        "processes": processes,
        "failures": {spec.sides[index].name: reason for index, reason in sorted(failed.items())},
    }


def first_line(error: BaseException) -> str:
    """What an exception says, without a worker's log."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def leave_out(
    spec: BenchSpec, failed: Mapping[int, str], processes: Sequence[dict[str, Any]]
) -> tuple[BenchSpec, list[dict[str, Any]]]:
    """The spec and the processes of the sides that ran, numbered anew.

    Raises:
        CheckFailed: There is none.
    """
    kept = [index for index in range(len(spec.sides)) if index not in failed]
    if not kept:
        raise CheckFailed("no side runs: " + "; ".join(failed.values()))
    ran = spec.model_copy(update={"sides": tuple(spec.sides[index] for index in kept)})
    places = {index: place for place, index in enumerate(kept)}
    return ran, [{**p, "side": places[p["side"]]} for p in processes if p["side"] in places]


def time_process(spec: BenchSpec, side: Side) -> dict[str, Any]:
    """One process of one side."""
    with ExitStack() as stack:
        stack.enter_context(added_to_environment(thread_variables(side)))
        worker = stack.enter_context(Worker(side.backend))
        samples: dict[str, Any] = worker.call(
            "time_side",
            run=side.run(spec.run).model_dump(mode="json"),
            side=side.model_dump(mode="json"),
            warmup_steps=spec.warmup_steps,
            timed_steps=spec.timed_steps,
        )
    return samples


def thread_variables(side: Side) -> dict[str, str]:
    """Environment that holds a side to its threads."""
    if side.num_threads is None:
        return {}
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {name: str(side.num_threads) for name in names}


def busy_seconds() -> tuple[float, float] | None:
    """(of the whole machine, of this process and its ended children); none where unknown."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    fields = [int(text) for text in path.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    busy = sum(fields[:8]) - fields[3] - fields[4]
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return busy / os.sysconf("SC_CLK_TCK"), mine


def other_share(
    before: tuple[float, float] | None, after: tuple[float, float] | None, seconds: float
) -> float | None:
    """Share of all processors that others used meanwhile; none where it is not known.

    On a machine of two processors, 0.5 means that others kept one of them busy.
    """
    if before is None or after is None or seconds <= 0:
        return None
    others = (after[0] - before[0]) - (after[1] - before[1])
    return max(others, 0.0) / (seconds * (os.cpu_count() or 1))
