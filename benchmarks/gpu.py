"""Checks and timings on a machine with a GPU, in under eight minutes.

    python benchmarks/gpu.py --output runs/gpu
    python benchmarks/gpu.py --output runs/gpu --device cpu --small   # a trial without a GPU
    python benchmarks/gpu.py --output runs/gpu --device cpu --small --patience 20   # a busy machine

Parts, for each framework that is installed:

- facts: versions, devices, switches;
- parity ladders between the framework's CPU and its GPU, from equal weights: float64, float32 with
  TF32 off, float32 with TF32 on, and the compiled step (`torch.compile`, XLA);
- loss and gradients of mixed precision against those of float32;
- steps of ResNet-50 against a loop that a user would write, with torchvision's or Keras' own
  network: float32 with TF32 off and on, bfloat16 (AMP), and bfloat16 compiled; and the memory;
- one run in one process and in two (`poc run --processes 2`).

With both frameworks the ladder between them (`poc parity`) is climbed on the GPU too. Each part is
a process of its own with a time limit; a part that fails or takes too long gets a row with the
reason, and a part without time left is named. `gpu.json` has everything, `gpu.md` is the page. The
exit code is 1 if a part did not end.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from poc.benchmarks.gpu_ladder import climb, compare_mixed
from poc.benchmarks.gpu_machine import Machine, Row, describe
from poc.benchmarks.gpu_page import write_page
from poc.benchmarks.gpu_processes import run_processes
from poc.benchmarks.gpu_steps import time_steps
from poc.benchmarks.limited import end_on_request, ending
from poc.shared.engine.backend import missing_packages
from poc.shared.engine.machine.environment import describe_machine
from poc.shared.spec.run import BACKENDS

TOTAL_SECONDS = 465.0
# A part that has less time left than this is not started.
LEAST_SECONDS = 15.0
BOTH = "tf and torch"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part: its title on the page, its work, its time limit, and if a trial runs it."""

    title: str
    work: Callable[[Machine], list[Row]]
    limit_seconds: float
    is_tried: bool = True


# In the order of their worth, since the last ones may have no time left.
PARTS = {
    "facts": Part(title="Facts", work=describe, limit_seconds=60),
    "float64": Part(
        title="Ladder, float64: the CPU and the device",
        work=partial(climb, precision="float64"),
        limit_seconds=75,
    ),
    "float32": Part(
        title="Ladder, float32 with TF32 off",
        work=partial(climb, precision="float32"),
        limit_seconds=75,
    ),
    "tf32": Part(
        title="Ladder, float32 with TF32 on",
        work=partial(climb, precision="float32", has_tf32=True),
        limit_seconds=75,
    ),
    "steps-bfloat16": Part(
        title="Steps of ResNet-50, bfloat16 (AMP)",
        work=partial(time_steps, precision="bfloat16"),
        limit_seconds=75,
    ),
    "mixed": Part(
        title="Mixed precision: loss and gradients against float32",
        work=compare_mixed,
        limit_seconds=60,
    ),
    "steps-float32": Part(
        title="Steps of ResNet-50, float32 with TF32 off",
        work=partial(time_steps, precision="float32"),
        limit_seconds=75,
    ),
    "steps-tf32": Part(
        title="Steps of ResNet-50, float32 with TF32 on",
        work=partial(time_steps, precision="float32", has_tf32=True),
        limit_seconds=75,
        is_tried=False,
    ),
    "compiled": Part(
        title="Ladder, float64: the CPU, and the compiled step on the device",
        work=partial(climb, precision="float64", mode="compiled"),
        limit_seconds=100,
    ),
    "processes": Part(title="One process and two", work=run_processes, limit_seconds=125),
    "steps-compiled": Part(
        title="Steps of ResNet-50, bfloat16, compiled",
        work=partial(time_steps, precision="bfloat16", mode="compiled"),
        limit_seconds=120,
        is_tried=False,
    ),
}


def main() -> int:
    """Run all parts, and write the page after each; 1 if one did not end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the page")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--small", action="store_true", help="small images, few steps, fewer parts")
    parser.add_argument("--backend", choices=BACKENDS, help="default: each that is installed")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), help="default: all")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="time for all")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="factor of all limits, for a busy machine"
    )
    parser.add_argument("--one", metavar="PART", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(PARTS[given.one].work(read_machine(given, given.backend))))
        return 0
    end_on_request()
    given.output.mkdir(parents=True, exist_ok=True)
    backends = [given.backend] if given.backend else find_backends()
    if not backends:
        parser.error("no framework is installed here: try pip install 'poc[torch]'")
    names = given.parts or [n for n, p in PARTS.items() if p.is_tried or not given.small]
    deadline, results = time.monotonic() + given.seconds * given.patience, []
    record: dict[str, Any] = {
        "command": " ".join(sys.argv),
        "device": given.device,
        "is_small": given.small,
        "machine": describe_machine(),
        "parts": results,
    }
    for name, backend in plan(names, backends):
        results.append(run_part(name, read_machine(given, backend), deadline))
        (given.output / "gpu.json").write_text(json.dumps(record, indent=1))
        (given.output / "gpu.md").write_text(write_page(record))
        print(f"{results[-1]['title']}, {backend}: {results[-1]['status']}", flush=True)
    return int(any(result["status"] != "done" for result in results))


def read_machine(given: argparse.Namespace, backend: str) -> Machine:
    """Return what the command asks for, with one framework or the name of both."""
    return Machine(
        backend=backend,
        device=given.device,
        is_small=given.small,
        patience=given.patience,
    )


def find_backends() -> list[str]:
    """Return the frameworks that are installed."""
    return [name for name in BACKENDS if not missing_packages(name)]


def plan(names: Sequence[str], backends: Sequence[str]) -> list[tuple[str, str]]:
    """Return the parts in order, each with its framework; two frameworks are compared early."""
    planned = [(name, backend) for name in names for backend in backends]
    if len(backends) > 1:
        planned.insert(len(backends), (BETWEEN, BOTH))
    return planned


BETWEEN, BETWEEN_TITLE, BETWEEN_SECONDS = "between", "Ladder between both frameworks", 90.0


def run_part(name: str, machine: Machine, deadline: float) -> dict[str, Any]:
    """Run a part in its own process until its limit, and return its rows or the reason."""
    is_between = name == BETWEEN
    title = BETWEEN_TITLE if is_between else PARTS[name].title
    limit = BETWEEN_SECONDS if is_between else PARTS[name].limit_seconds
    result: dict[str, Any] = {"part": name, "backend": machine.backend, "title": title, "rows": []}
    limit = min(limit * machine.patience, deadline - time.monotonic())
    if limit < LEAST_SECONDS:
        return {**result, "status": "not started: no time left", "seconds": 0.0}
    began = time.monotonic()
    command = between_command(machine) if is_between else part_command(name, machine)
    status, printed = call(command, limit)
    try:
        # A ladder with a broken rung ends with an error, after its rows.
        result["rows"] = read_rows(printed)
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        status = "failed: the part printed no rows" if status == "done" else status
    return {**result, "status": status, "seconds": round(time.monotonic() - began, 1)}


def read_rows(printed: str) -> list[Row]:
    """Return the rows that a part prints in its last line, or those of `poc parity --json`.

    Raises:
        ValueError: There are no rows.
    """
    last = (printed.strip().splitlines() or [""])[-1]
    try:
        rows: list[Row] = json.loads(last)
        if isinstance(rows, list) and rows:
            return rows
    except ValueError:
        pass
    found = json.loads(printed)
    rungs = found if isinstance(found, list) else next(iter(found.values()))
    return [write_rung(rung) for rung in rungs]


def write_rung(rung: dict[str, Any]) -> Row:
    """Return the row of a rung that was printed as JSON."""
    return {
        "rung": rung["name"],
        "worst tensor": rung["worst"],
        "error": f"{rung['error']:.1e}",
        "bound on a CPU": f"{rung['tolerance']:.0e}",
        "verdict": rung["verdict"],
    }


def part_command(name: str, machine: Machine) -> list[str]:
    """Return the command that runs one part in this process's way."""
    words = ["--output", ".", "--one", name, "--backend", machine.backend]
    words += ["--device", machine.device, "--patience", str(machine.patience)]
    return [sys.executable, __file__, *words, *(["--small"] if machine.is_small else [])]


def between_command(machine: Machine) -> list[str]:
    """Return the command that climbs the ladder between both frameworks."""
    words = ["parity", "--dtype", "float64", "--set", f"device={machine.device}", "--json", "-q"]
    return [sys.executable, "-m", "poc.cli", *words]


def call(command: Sequence[str], limit_seconds: float) -> tuple[str, str]:
    """Return how a command ended, and what it printed; its processes end at the limit."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            with ending(process):
                printed, errors = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            return f"ended after {limit_seconds:.0f} s, its limit", ""
    if process.returncode == 0:
        return "done", printed
    lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
    return f"failed: {lines[-1][:300]}", printed


if __name__ == "__main__":
    sys.exit(main())
