"""The start of a cell of a sweep: seconds before it trains, for the first cell and for those after.

    python benchmarks/cell_start.py --rounds 5 --set method=scratch --set model=simple_cnn

In each round and backend, in turn: the first cell of a sweep, for which a template is started, a
cell in a process that is started afresh, and two more cells of the sweep. Medians over the rounds:

    to training   from the call to the first step: process, import, data, network
    first step    the step itself, with the trace
    start         both
    cpu before    processor seconds of the cell's own process when it begins to train; less moved
                  by a busy machine than the other columns
    cpu epoch     the same after the first epoch, of one step, and its validation
    all           one epoch on few images, validation, test and files

The last lines state the memory that a waiting template has for itself, and its size.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from poc.shared.engine.console.work_count import Event
from poc.shared.engine.launch.executors import added_to_environment
from poc.shared.engine.launch.run import launch_run
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.engine.worker.template import CURRENT, warm_starts
from poc.shared.spec.reading.config import load_run

# In this order, since the first one makes the template.
CELLS = ("first", "afresh", "after", "after")
# Any other environment than the template's makes a cell start afresh.
AFRESH = {"POC_CELL_START": "afresh"}
SMALL = ("num_epochs=1", "data.split.train_per_class=5", "data.batch_size=64")


class Times(NamedTuple):
    """Seconds of one cell."""

    to_training: float
    first_step: float
    cpu_before: float
    cpu_epoch: float
    whole: float


def main() -> None:
    """Measure, and print the medians."""
    arguments = read_arguments()
    found: dict[tuple[str, str], list[Times]] = defaultdict(list)
    memory: dict[str, str] = {}
    for _ in range(arguments.rounds):
        for backend in arguments.backends.split(","):
            with warm_starts({backend: len(CELLS) + 1}):
                for kind in CELLS:
                    variables = AFRESH if kind == "afresh" else {}
                    with added_to_environment(variables):
                        found[backend, kind].append(measure(backend, arguments.settings))
                memory[backend] = describe_memory(backend)
    print(f"{'cell':16s}{'to training':>12s}{'first step':>12s}{'start':>8s}", end="")
    print(f"{'cpu before':>12s}{'cpu epoch':>12s}{'all':>12s}{'cells':>7s}")
    for (backend, kind), times in found.items():
        starts = statistics.median(each.to_training + each.first_step for each in times)
        middle = Times(*map(statistics.median, zip(*times, strict=True)))
        print(f"{backend + ' ' + kind:16s}{middle.to_training:12.2f}", end="")
        print(f"{middle.first_step:12.2f}{starts:8.2f}{middle.cpu_before:12.2f}", end="")
        print(f"{middle.cpu_epoch:12.2f}{middle.whole:12.2f}{len(times):7d}")
    for backend, text in memory.items():
        print(f"template of {backend}: {text}")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", default="tf,torch")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    return parser.parse_args()


def measure(backend: str, settings: list[str]) -> Times:
    """Run one cell."""
    run = load_run(None, [f"backend={backend}", *SMALL, *settings])
    moments: dict[str, tuple[float, float]] = {}

    def watch(event: Event) -> None:
        if event["event"] in ("step", "epoch"):
            moments.setdefault(event["event"], (time.perf_counter(), processor_seconds()))

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        row = launch_run(run, Path(folder) / "run", command="", overwrite=False, report=watch)
        whole = time.perf_counter() - started
    moment, cpu_before = moments["step"]
    first_step = row["first_step_seconds"]
    return Times(moment - started, first_step, cpu_before, moments["epoch"][1], whole)


def processor_seconds() -> float:
    """Return the processor seconds of the only running worker."""
    (worker,) = (worker for worker in LIVE if isinstance(worker, Worker))
    fields = Path(f"/proc/{worker._process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def describe_memory(backend: str) -> str:
    """Return the size of the template, and how much of it no other process shares."""
    template = CURRENT[-1]._made.get(backend)
    if template is None:
        return "none"
    lines = Path(f"/proc/{template._process.pid}/smaps_rollup").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    own = values["Private_Clean"] + values["Private_Dirty"]
    return f"{values['Rss'] / 1024:.0f} MiB, {own / 1024:.0f} MiB of it its own"


if __name__ == "__main__":
    main()
