"""The part of `gpu.py` that trains one run in one process and in two."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from poc.benchmarks.gpu_machine import Machine, Row


def run_processes(machine: Machine) -> list[Row]:
    """Train one run in one process and in two, by the command, and compare their losses."""
    rows: list[Row] = []
    for count in (1, 2):
        row: Row = {"processes": count, "device": machine.device}
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "run"
            try:
                subprocess.run(
                    processes_command(machine, count, output),
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=60 * machine.patience,
                )
                row |= read_losses(output)
            except subprocess.TimeoutExpired:
                row["problem"] = "no end within the limit"
            except subprocess.CalledProcessError as error:
                row["problem"] = (error.stderr.strip().splitlines() or ["no message"])[-1]
        rows.append({**row, "seconds": f"{time.perf_counter() - began:.1f}"})
    return rows


def processes_command(machine: Machine, count: int, output: Path) -> list[str]:
    """Return the command that trains one epoch in float64 in several processes."""
    return [
        *(sys.executable, "-m", "poc.cli", "run", "--backend", machine.backend, "-q"),
        *("--method", "lightlayers", "--k", "3", "--epochs", "1", "--processes", str(count)),
        *("--set", "precision=float64", "--set", f"device={machine.device}"),
        *("--set", f"data.split.train_per_class={4 if machine.is_small else 100}"),
        *("--output", str(output)),
    ]


def read_losses(output: Path) -> Row:
    """Return the losses of a run's last epoch."""
    lines = (output / "metrics.jsonl").read_text().splitlines()
    last = next(line for line in map(json.loads, reversed(lines)) if "val/loss" in line)
    return {
        name: f"{last[key]:.12f}"
        for name, key in (("training loss", "train/loss"), ("validation loss", "val/loss"))
        if key in last
    }
