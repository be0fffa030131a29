"""`poc compare` and `poc parity`: both backends, one process each."""

import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from poc.shared.engine.datasets import open_data
from poc.shared.engine.launch import launch_run
from poc.shared.engine.worker import Worker
from poc.shared.spec.run import BACKENDS, RunSpec

from .parity import Batch, Ladder, Rung

Report = Callable[[Mapping[str, Any]], None]
NUM_PARITY_BATCHES = 5


def check_parity(run: RunSpec) -> list[Rung]:
    """Climb the parity ladder on real batches of the run's own data."""
    resolved, data = open_data(run)
    with data:
        batches: list[Batch] = [
            {"images": batch.images, "labels": batch.learned}
            for batch in islice(data.train.epoch(0), NUM_PARITY_BATCHES)
        ]
    with Worker("tf") as first, Worker("torch") as second:
        return Ladder(resolved, first, second).climb(batches)


def compare_backends(
    run: RunSpec, output: Path | None, *, command: str, overwrite: bool, report: Report
) -> list[dict[str, Any]]:
    """Train the same run in both backends, one after the other; returns their rows."""
    root = output or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-compare-{run.method}"
    return [
        launch_run(
            run.replace(backend=backend),
            root / backend,
            command=command,
            overwrite=overwrite,
            report=report,
        )
        for backend in BACKENDS
    ]
