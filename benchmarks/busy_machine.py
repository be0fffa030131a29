"""Cost of a step while other programs are busy, and the thread settings that help.

    python benchmarks/busy_machine.py
    python benchmarks/busy_machine.py --backend torch --models lightlayers --neighbours 1

While no, one and two other processes are always busy, the steps of three settings take short turns,
each in its own process: the frameworks' own choice; waiting threads that sleep
(OMP_WAIT_POLICY=PASSIVE); and one thread. A line has the median of the steps, and its ratio to the
frameworks' own choice on the idle machine. `--rounds` is the number of times that the processes are
started again.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from default_modes import MODELS

from poc.shared.engine.launch.executors import THREAD_VARIABLES, added_to_environment
from poc.shared.engine.timing.rounds import in_turn
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.bench import BenchSpec, Side
from poc.shared.spec.run import RunSpec

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "own choice": {},
    "waiting threads sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": dict.fromkeys(THREAD_VARIABLES, "1"),
}
SIDES = {"tf": Side(backend="tf", mode="graph"), "torch": Side(backend="torch", mode="eager")}
SPIN = "print('on', flush=True)\nwhile True: pass"


def main() -> int:
    """Print one line per model, backend, number of neighbours and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=tuple(SIDES), help="one of them; default: both")
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=["lightlayers", "kd"])
    parser.add_argument(
        "--neighbours", nargs="+", type=int, default=[1, 2], help="busy processes, in addition to 0"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="file for all samples")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        for backend in [arguments.backend] if arguments.backend else SIDES:
            rows += time_backend(name, backend, arguments)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))
    return 0


def time_backend(name: str, backend: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one model in one backend; print each row at once, return all."""
    spec, alone, rows = make_spec(name, backend, arguments.steps), 0.0, []
    for count in sorted({0, *arguments.neighbours}):
        samples: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
        for number in range(arguments.rounds):
            with busy_neighbours(count):
                for setting, steps in time_settings(spec, backend, number).items():
                    samples[setting] += steps
        for setting, steps in samples.items():
            median = statistics.median(steps)
            alone = alone or median
            row = {"model": name, "backend": backend, "neighbours": count, "setting": setting}
            rows.append({**row, "step_seconds": steps})
            print(
                f"{name:14} {backend:6} {count} busy others  {setting:22} "
                f"{1000 * median:9.2f} ms per step  {median / alone:6.2f} of alone",
                flush=True,
            )
    return rows


def make_spec(name: str, backend: str, num_steps: int) -> BenchSpec:
    """Return a bench of one side of a model on a few of the embedded images."""
    row = MODELS[name]
    data = {**row.get("data", {}), "batch_size": 32, "split": {"train_per_class": 20}}
    run = RunSpec.parse({**row, "data": {**data, "drop_last": True}}, "")
    return BenchSpec(run=run, sides=(SIDES[backend],), timed_steps=num_steps, timed_seconds=0.0)


def time_settings(spec: BenchSpec, backend: str, number: int) -> dict[str, list[float]]:
    """Time the steps of each setting, each in its own process; all run together in turns."""
    names, side = list(SETTINGS), spec.sides[0]
    run = side.run(spec.run).model_dump(mode="json")
    with ExitStack() as stack:
        workers = {}
        for name in names:
            with added_to_environment(SETTINGS[name]):
                workers[name] = stack.enter_context(Worker(backend))
            workers[name].call(Operations.start_timing, run=run, side=side.model_dump(mode="json"))
        for place, turn in enumerate(spec.turns()):
            for index in in_turn(range(len(names)), number + place):
                workers[names[index]].call(Operations.time_steps, **turn._asdict())
        return {
            name: worker.call(Operations.finish_timing)["seconds"]["step"]
            for name, worker in workers.items()
        }


@contextmanager
def busy_neighbours(count: int) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """Start `count` processes that are always busy, and stop them at the end."""
    command = [sys.executable, "-c", SPIN]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        time.sleep(0.5 if count else 0)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
