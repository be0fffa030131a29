"""Starting runs from the command's side: a folder, a worker, and what it reports."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from poc.shared.spec.run import RunSpec

from .initial_weights import check_initial_weights, resolve_imagenet
from .run_folder import RunFolder
from .worker import Worker

Report = Callable[[Mapping[str, Any]], None]


def launch_run(
    run: RunSpec, output: Path | None, *, command: str, overwrite: bool, report: Report
) -> dict[str, Any]:
    """Train in a process of its own.

    Args:
        run: What to train.
        output: Run folder; none: a new one below `runs/`.
        command: The command line, kept in the folder.
        overwrite: Replace a run that stands there.
        report: Called with progress events.

    Returns:
        The run's row of the comparison table.
    """
    check_initial_weights(run)
    run = resolve_imagenet(run)
    folder = RunFolder.create(output or new_output(run), overwrite=overwrite)
    with Worker(run.backend, log=folder.log, report=report) as worker:
        row: dict[str, Any] = worker.call(
            "train",
            run=run.model_dump(mode="json"),
            folder=str(folder.path.resolve()),
            command=command,
        )
    return row | {"folder": str(folder.path)}


def new_output(run: RunSpec, root: Path = Path("runs")) -> Path:
    """A folder name that says what ran and that nothing has yet."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{run.method}-{run.model_spec.name}-{run.backend}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        if not (path := root / f"{stem}{suffix}").exists():
            return path
    raise RuntimeError(f"Received 999 runs called {stem} within one second.")
