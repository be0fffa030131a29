"""Rounds of `poc bench`: processes that work in turn, with their raw samples in one file."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import cast

from poc.shared.data.sources.inspection import Note
from poc.shared.engine.launch.executors import THREAD_VARIABLES, added_to_environment
from poc.shared.engine.machine.load import busy_seconds, other_share
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import Found, Given, Operation, Operations, TimingSamples
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.bench import BenchSpec, Side

from .bench_file import FORMAT, BenchFile, ProcessSamples, StoredBenchSpec

# Errors in which a mode may end that this machine or this run does not support. The bench goes on
# with the other sides.
FAILURES = (UsageError, CheckFailed, WorkerCrashed)


def run_bench(
    spec: BenchSpec, *, command: str, report: Note, failures: Mapping[int, str] | None = None
) -> BenchFile:
    """Time every side in several rounds, each in a process of its own.

    Args:
        spec: Sides to time, and how often.
        command: The command line, kept in the result.
        report: Called with a line for each round, and for each side that does not run.
        failures: Place of a side that is known not to run -> the reason.

    Returns:
        The content of a bench file without the parity verdict: the spec of the sides that ran,
        the machine's load and every process with its raw samples; `failures` has the other
        sides.

    Raises:
        CheckFailed: No side runs.
    """
    started, busy = time.time(), busy_seconds()
    processes: list[ProcessSamples] = []
    failed = dict(failures or {})
    for number in range(spec.num_processes):
        # A side that failed once is left out of later rounds: it would fail there too.
        places = [place for place in range(len(spec.sides)) if place not in failed]
        report(f"round {number + 1} of {spec.num_processes}: {len(places)} processes")
        for place, samples in time_round(spec, in_turn(places, number)).items():
            if isinstance(samples, str):
                failed[place] = samples
                report(f"{spec.sides[place].name} does not run: {samples}")
            else:
                processes.append({"round": number, "side": place, **samples})
    ran, processes = leave_out(spec, failed, processes)
    return {
        "format": FORMAT,
        "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "wall_seconds": time.time() - started,
        "other_processor_share": other_share(busy, busy_seconds(), time.time() - started),
        "spec": cast(StoredBenchSpec, ran.model_dump(mode="json")),
        "processes": processes,
        "failures": {spec.sides[index].name: reason for index, reason in sorted(failed.items())},
    }


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, which leaves out a worker's log."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def leave_out(
    spec: BenchSpec, failed: Mapping[int, str], processes: Sequence[ProcessSamples]
) -> tuple[BenchSpec, list[ProcessSamples]]:
    """Return the spec and the processes of the sides that ran, numbered again from 0.

    Raises:
        CheckFailed: No side ran.
    """
    kept = [index for index in range(len(spec.sides)) if index not in failed]
    if not kept:
        raise CheckFailed(
            f"Got no side that runs: {'; '.join(failed.values())}. Expected at least one. Try "
            "another --side."
        )
    ran = spec.model_copy(update={"sides": tuple(spec.sides[index] for index in kept)})
    places = {index: place for place, index in enumerate(kept)}
    return ran, [{**p, "side": places[p["side"]]} for p in processes if p["side"] in places]


def in_turn(places: Sequence[int], number: int) -> list[int]:
    """Order two sides as A B, B A, A B, …; order more by a Williams design (Williams 1949).

    A drift affects all sides. Over the rows, each side follows each other one equally often, so
    that the state in which one leaves the machine affects all others in the same way.
    """
    count = len(places)
    zigzag = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(count)]
    row = [places[(step + number) % count] for step in zigzag]
    # An odd number of sides is balanced only with the mirror image of each row.
    return row[::-1] if count % 2 and number // count % 2 else row


def time_round(spec: BenchSpec, places: Sequence[int]) -> dict[int, TimingSamples | str]:
    """Time one process of each of these sides; return its samples, or why it does not run.

    All processes exist at the same time and work one at a time: their steps take short turns, so
    that a slow moment of the machine affects every side.
    """
    if spec.is_alone and len(places) > 1:
        # Programs that together would fill the memory: one round per side, one process each.
        return {key: value for p in places for key, value in time_round(spec, [p]).items()}
    with ExitStack() as stack:
        timed = Round(spec, stack)
        for place in places:
            timed.start(place)
        for number, turn in enumerate(spec.turns()):
            for place in in_turn(places, number):
                timed.call(
                    place,
                    Operations.time_steps,
                    warmup_steps=turn.warmup_steps,
                    timed_steps=turn.timed_steps,
                    timed_seconds=turn.timed_seconds,
                )
        for place in places:
            samples = timed.call(place, Operations.finish_timing)
            timed.found[place] = timed.failed[place] if samples is None else samples
        return {place: timed.found[place] for place in places}


class Round:
    """Processes of a round; a process that failed is not called again."""

    def __init__(self, spec: BenchSpec, stack: ExitStack) -> None:
        self.spec, self.stack = spec, stack
        self.workers: dict[int, Worker] = {}
        self.found: dict[int, TimingSamples | str] = {}
        self.failed: dict[int, str] = {}

    def start(self, place: int) -> None:
        """Start a process with the threads of its side, and take its first step."""
        side = self.spec.sides[place]
        try:
            run = side.run(self.spec.run).model_dump(mode="json")
            # Libraries read the number of threads once, when they are imported.
            with added_to_environment(thread_variables(side)):
                self.workers[place] = self.stack.enter_context(Worker(side.backend))
        except FAILURES as error:
            self.failed[place] = first_line(error)
        else:
            self.call(place, Operations.start_timing, run=run, side=side.model_dump(mode="json"))

    def call(
        self,
        place: int,
        operation: Operation[Given, Found],
        *nothing: Given.args,
        **arguments: Given.kwargs,
    ) -> Found | None:
        """Run an operation in a process; return None if the process fails or has failed."""
        if place in self.failed:
            return None
        try:
            return self.workers[place].call(operation, *nothing, **arguments)
        except FAILURES as error:
            self.failed[place] = first_line(error)
            return None


def thread_variables(side: Side) -> dict[str, str]:
    """Return the environment variables that limit a side to its threads."""
    if side.num_threads is None:
        return {}
    return dict.fromkeys(THREAD_VARIABLES, str(side.num_threads))
