"""A sweep: each cell is a run folder, written by a process of its own.

The sweep's folder contains `sweep.json` (its definition) and one run folder per cell. Nothing else
is stored: a cell's folder shows if the cell is done, so that an interrupted sweep continues where
it stopped. A cell that fails becomes a row with its error, and the others go on.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from poc.shared.engine.folder.checkpoints import LATEST
from poc.shared.engine.folder.former_runs import RUN_FORMAT
from poc.shared.engine.folder.lock import hold_lock, is_held
from poc.shared.engine.folder.run_folder import LOCK, RunFolder
from poc.shared.engine.machine.memory import has_memory_sign, was_killed
from poc.shared.engine.machine.memory_evidence import KERNEL_SIGN
from poc.shared.engine.training.non_finite import is_non_finite
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.engine.worker.template import warm_starts
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.regular_files import Stamp, take_stamp
from poc.shared.spec.reading.sweep import Cell, StoredCell
from poc.shared.spec.run import RunSpec

from .executors import Executor, LocalExecutor
from .run import launch_run, resume_run
from .sweep_definition import Watch, locked, make_room, store_definition

Row = dict[str, Any]


class Task(StoredCell):
    """A cell as plain values, with its folder and its executor."""

    folder: str
    command: str
    executor: dict[str, object]


RowReport = Callable[[Row, int], None]


def run_sweep(
    cells: Sequence[Cell],
    output: Path,
    executor: Executor,
    *,
    command: str,
    report: RowReport = lambda row, num_cells: None,
    watch: Watch = lambda cell, event: None,
) -> list[Row]:
    """Run every cell that is not yet done.

    Args:
        cells: Cells of the sweep.
        output: Its folder: new, empty, or that of the same sweep, which then continues.
        executor: Place where the cells run.
        command: The command line, recorded in each run folder.
        report: Called with each row, finished ones first, and the number of cells.
        watch: Called with a cell's name and an event: of the check of its data, and of its training
            if it runs in a process that this one starts.

    Returns:
        One row per cell, in the cells' order: the run's row of the comparison table with `cell`,
        `settings` and `status` ("finished" or "failed", then with `failure` and `error`).

    Raises:
        UsageError: The folder has other content or another sweep, a sweep runs there now, or a cell
            of a new sweep is known to fail.
    """
    # A node of a cluster may have files that this machine lacks, so nothing is checked for it here.
    is_local = isinstance(executor, LocalExecutor)
    make_room(cells, output, watch, has_files=is_local)
    cells = store_definition(cells, output, command)
    with locked(output):
        rows = {cell.name: row for cell in cells if (row := finished_row(cell, output))}
        for row in rows.values():
            report(row, len(cells))
        tasks = [
            make_task(cell, output, command, executor.description)
            for cell in cells
            if cell.name not in rows
        ]
        # Ray's cells run in other processes, which cannot call this one's report.
        work = partial(run_cell, watch=watch) if is_local else run_cell
        with warm_starts(count_backends(tasks) if is_local else {}):
            for task, result, error in executor.run(work, tasks):
                row = result or record_lost(task, error or "gave no result")
                rows[task["name"]] = row
                report(row, len(cells))
    return [rows[cell.name] for cell in cells]


def count_backends(tasks: Sequence[Task]) -> dict[str, int]:
    """Count the processes that each backend will start."""
    return Counter(str(task["run"]["backend"]) for task in tasks)


def finished_row(cell: Cell, output: Path) -> Row | None:
    """Read the row of a cell whose run has finished; None for any other cell."""
    folder = RunFolder(output / cell.name)
    try:
        record, row = folder.read_run(), folder.read_summary()
    except (UsageError, TypeError, ValueError):
        return None
    if record.get("status") != "finished" or "total_parameters" not in row:
        return None
    return describe_row(cell.to_json(), row)


def make_task(cell: Cell, output: Path, command: str, executor: Mapping[str, object]) -> Task:
    """Write a cell as plain values, which any process can read."""
    return {
        **cell.to_json(),
        "folder": str((output / cell.name).resolve()),
        "command": command,
        "executor": dict(executor),
    }


def run_cell(task: Task, watch: Watch = lambda cell, event: None) -> Row:
    """Train one cell, or continue it; an error becomes part of the row."""
    path = Path(task["folder"])
    run = RunSpec.parse(task["run"], "")
    command, report = task["command"], partial(watch, task["name"])
    try:
        former = find_stopped(path)
    except UsageError as error:
        return failed_row(task, str(error))
    try:
        if former:
            row = resume_run(path, command=command, report=report)
        else:
            # Overwriting is safe: only a failed run can be here, or one that has saved nothing.
            row = launch_run(run, path, command=command, overwrite=True, report=report)
        RunFolder(path).mark("finished", sweep=describe_membership(task))
    except (UsageError, CheckFailed, WorkerCrashed, OSError) as error:
        # A run that trains elsewhere keeps its record, and one that has not gone on gets it back:
        # both can be resumed. A value that is not finite comes again.
        if is_held(path):
            return failed_row(task, str(error))
        if former and former.checkpoint == stamp_checkpoint(path) and not is_non_finite(str(error)):
            # On a full disk the run stays marked as failed.
            with suppress(OSError):
                RunFolder(path).write_run(former.record)
            return failed_row(task, str(error))
        return record_failure(task, str(error))
    return describe_row(task, row)


class Stopped(NamedTuple):
    """A run that was stopped: its record, and the stamp of its checkpoint."""

    record: Row
    checkpoint: Stamp


def find_stopped(path: Path) -> Stopped | None:
    """Return a cell's stopped run, or None if there is none to resume.

    Raises:
        UsageError: Another process holds its folder.
    """
    # The worker of a sweep that was killed may be saving its first checkpoint, and is awaited.
    with hold_lock(path) if (path / LOCK).exists() else nullcontext():
        if not can_resume(path):
            return None
        return Stopped(RunFolder(path).read_run(), stamp_checkpoint(path))


def stamp_checkpoint(path: Path) -> Stamp:
    """Return the stamp of the checkpoint from which a cell's run resumes."""
    return take_stamp(RunFolder(path).checkpoints / LATEST)


def record_lost(task: Task, error: str) -> Row:
    """Return the row of a cell whose process has ended without one; a run to resume stays so."""
    path = Path(task["folder"])
    fail = failed_row if is_held(path) or can_resume(path) else record_failure
    return fail(task, error)


def can_resume(path: Path) -> bool:
    """Tell if a cell's run was stopped, in any way, after it had saved a checkpoint."""
    folder = RunFolder(path)
    try:
        # "running" marks a run that was killed, since only this sweep trains its cells.
        is_stopped = folder.read_run().get("status") in ("running", "interrupted")
        return is_stopped and folder.read_checkpoint() is not None
    except UsageError:
        return False


def describe_membership(task: Task) -> dict[str, object]:
    """Describe the sweep for a cell's `run.json`."""
    return {"cell": task["name"], "settings": task["settings"], **task["executor"]}


def record_failure(task: Task, error: str) -> Row:
    """Write the failure into the cell's run folder, and make the folder if there is none."""
    row, folder = failed_row(task, error), RunFolder(task["folder"])
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        record = folder.read_run()
    except UsageError:
        # The run was refused before it began; its settings make the row that the report shows.
        record = {"format": RUN_FORMAT, "command": task["command"], "run": task["run"]}
    folder.write_run(record)
    sweep = describe_membership(task)
    folder.mark("failed", error=error, failure=row["failure"], sweep=sweep)
    return row


def failed_row(task: Task, error: str) -> Row:
    """Return the row of a cell that has failed; write nothing."""
    failure = kind_of_failure(error)
    return describe_row(task, {}) | {"status": "failed", "failure": failure, "error": error}


def kind_of_failure(error: str) -> str:
    """Return `out of memory`, `killed, most likely out of memory`, `killed` or `error`."""
    is_about_memory = "memory ended" in error or KERNEL_SIGN in error
    # Checked first: the last words of a killed process may speak of memory and not be the reason.
    if was_killed(error):
        return "killed, most likely out of memory" if is_about_memory else "killed"
    return "out of memory" if has_memory_sign(error) or is_about_memory else "error"


def describe_row(cell: StoredCell, row: Mapping[str, object]) -> Row:
    """Add the cell to the row of its run."""
    own = {"cell": cell["name"], "settings": dict(cell["settings"]), "status": "finished"}
    return {"seed": cell["run"]["seed"], "backend": cell["run"]["backend"], **row, **own}
