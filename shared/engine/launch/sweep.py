"""Running a sweep: every cell a run folder, made by a process of its own.

The sweep's folder holds `sweep.json` (its definition) and one run folder a cell. Nothing else is
stored: whether a cell is done is read off its folder, so an interrupted sweep continues where it
stopped. A cell that fails is a row that says so, and the others go on.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from poc.shared.engine.folder.former_runs import (
    FORMER_FORMATS,
    RUN_FORMAT,
    SWEEP_FORMAT,
    check_continuation,
)
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.machine.memory import has_memory_sign, was_killed
from poc.shared.engine.machine.memory_evidence import KERNEL_SIGN
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.whole import read_json, write_json
from poc.shared.spec.reading.stored_runs import read_as_meant
from poc.shared.spec.reading.sweep import Cell
from poc.shared.spec.run import RunSpec

from .executors import Executor, LocalExecutor, Task
from .run import launch_run, resume_run

Row = dict[str, Any]
Report = Callable[[Row, int], None]
Watch = Callable[[str, Mapping[str, Any]], None]
DEFINITION = "sweep.json"


def run_sweep(
    cells: Sequence[Cell],
    output: Path,
    executor: Executor,
    *,
    command: str,
    report: Report = lambda row, num_cells: None,
    watch: Watch = lambda cell, event: None,
) -> list[Row]:
    """Run every cell that is not yet done.

    Args:
        cells: The sweep.
        output: Its folder: new, empty, or that of the same sweep, which then continues.
        executor: Where the cells run.
        command: The command line, kept in each run folder.
        report: Called with each row, the kept ones first, and the number of cells.
        watch: Called with a cell's name and each event of its training, where it runs in a process
            that this one starts.

    Returns:
        One row a cell, in the cells' order: the run's row of the comparison table with `cell`,
        `settings` and `status` ("finished" or "failed", then with `failure` and `error`).

    Raises:
        UsageError: The folder holds something else or another sweep, or a sweep runs there now.
    """
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
        is_local = isinstance(executor, LocalExecutor)
        work = partial(run_cell, watch=watch) if is_local else run_cell
        for task, result, error in executor.run(work, tasks):
            row = result or record_failure(task, error or "gave no result")
            rows[task["name"]] = row
            report(row, len(cells))
    return [rows[cell.name] for cell in cells]


def store_definition(cells: Sequence[Cell], output: Path, command: str) -> list[Cell]:
    """Write the definition into a new folder, or compare it with the one that is there.

    Returns:
        The cells under the names that their folders have, which another version may have given.
    """
    path = output / DEFINITION
    if path.is_file():
        names = check_definition(cells, read_json(path), output)
        return [replace(cell, name=names[run_key(cell.to_json())]) for cell in cells]
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"received the output {str(output)!r}, which holds something that is no sweep; name a "
            "new folder"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"received the output {str(output)!r}, which cannot be made ({error.strerror}); name a "
            "folder that you may write to"
        ) from None
    definition = [cell.to_json() for cell in cells]
    write_json(path, {"format": SWEEP_FORMAT, "command": command, "cells": definition})
    return list(cells)


def check_definition(cells: Sequence[Cell], stored: Any, output: Path) -> dict[str, str]:
    """Refuse to continue a sweep with another one, naming the first difference.

    Returns:
        `run_key` of each cell -> its stored name.
    """
    mine = {run_key(cell.to_json()): cell.to_json() for cell in cells}
    theirs = {run_key(cell): cell for cell in read_cells(stored, output)}
    common = mine.keys() & theirs.keys()
    odd = [cell["name"] for key, cell in {**mine, **theirs}.items() if key not in common]
    if odd:
        is_mine, is_theirs = (odd[0] in {c["name"] for c in own.values()} for own in (mine, theirs))
        what = "has changed" if is_mine and is_theirs else "is new" if is_mine else "is gone"
        raise UsageError(
            f"received another sweep than the one in {str(output)!r} (the cell {odd[0]!r} "
            f"{what}); allowed is the same sweep, which continues: name a new --output"
        )
    for key, cell in theirs.items():
        what = f"the sweep in {str(output)!r} (cell {cell['name']!r})"
        check_continuation(RunSpec.parse(dict(mine[key]["run"]), ""), what, stored["format"])
    return {key: str(cell["name"]) for key, cell in theirs.items()}


def read_cells(stored: Any, output: Path) -> list[dict[str, Any]]:
    """The cells of a sweep's definition; an older version's say what they meant.

    Raises:
        UsageError: It is of another format, or a name is not that of a folder in `output`.
    """
    known = (SWEEP_FORMAT, *FORMER_FORMATS)
    with suppress(KeyError, TypeError):
        cells = [read_as_meant(cell) for cell in stored["cells"]]
        is_whole = all(is_folder_name(cell["name"]) and run_key(cell) for cell in cells)
        if stored["format"] in known and is_whole:
            return cells
    raise UsageError(
        f"received the output {str(output)!r}, whose {DEFINITION} is not of the format "
        f"{SWEEP_FORMAT!r}; name a new folder"
    )


def is_folder_name(name: str) -> bool:
    """Whether a name is that of a folder right below another one."""
    return Path(name).name == name and name not in ("", "..")


def run_key(cell: Mapping[str, Any]) -> str:
    """What makes a cell that of a folder: its run and the keys of the grid that it stands for."""
    return json.dumps([cell["run"], cell["settings"]], sort_keys=True)


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the sweep's folder; the system lets go of it when the process ends, however it ends."""
    descriptor = os.open(output / DEFINITION, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"received the output {str(output)!r}, where a sweep runs now; wait for it or name "
                "another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


def find_cell_folders(output: Path) -> list[tuple[dict[str, Any], Path]]:
    """Each cell of a sweep's folder as its definition stores it, and its run folder.

    Raises:
        UsageError: The folder holds no sweep.
    """
    cells = read_cells(read_json(output / DEFINITION), output)
    return [(cell, output / cell["name"]) for cell in cells]


def finished_row(cell: Cell, output: Path) -> Row | None:
    """The row of a cell whose run has finished, or none."""
    folder = RunFolder(output / cell.name)
    try:
        record, row = folder.read_run(), folder.read_summary()
    except (UsageError, TypeError, ValueError):
        return None
    if record.get("status") != "finished" or "total_parameters" not in row:
        return None
    return describe_row(cell.to_json(), row)


def make_task(
    cell: Cell, output: Path, command: str, executor: Mapping[str, Any]
) -> dict[str, Any]:
    """A cell as plain values, which any process can take."""
    return {
        **cell.to_json(),
        "folder": str((output / cell.name).resolve()),
        "command": command,
        "executor": dict(executor),
    }


def run_cell(task: Task, watch: Watch = lambda cell, event: None) -> Row:
    """Train one cell, or what is left of it; whatever goes wrong is told in the row."""
    path = Path(task["folder"])
    run = RunSpec.parse(task["run"], "")
    options: dict[str, Any] = {"command": task["command"], "report": partial(watch, task["name"])}
    try:
        if can_resume(path):
            row = resume_run(path, **options)
        else:
            # Only a failed run can be here, or one that has saved nothing.
            row = launch_run(run, path, overwrite=True, **options)
        RunFolder(path).mark("finished", sweep=describe_membership(task))
    except (UsageError, CheckFailed, WorkerCrashed, OSError) as error:
        return record_failure(task, str(error))
    return describe_row(task, row)


def can_resume(path: Path) -> bool:
    """Whether a cell's run was stopped, by whatever, after it had saved something."""
    folder = RunFolder(path)
    try:
        is_stopped = folder.read_run().get("status") in ("running", "interrupted")
        return is_stopped and folder.read_checkpoint() is not None
    except UsageError:
        return False


def describe_membership(task: Task) -> dict[str, Any]:
    """What a cell's `run.json` says about the sweep."""
    return {"cell": task["name"], "settings": task["settings"], **task["executor"]}


def record_failure(task: Task, error: str) -> Row:
    """Write the failure into the run folder, which may not have come into being."""
    failure = kind_of_failure(error)
    folder = RunFolder(task["folder"])
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        record = folder.read_run()
    except UsageError:
        record = {"format": RUN_FORMAT, "command": task["command"], "run": task["run"]}
    folder.write_run(record)
    folder.mark("failed", error=error, failure=failure, sweep=describe_membership(task))
    return describe_row(task, {}) | {"status": "failed", "failure": failure, "error": error}


def kind_of_failure(error: str) -> str:
    """`out of memory`, `killed, most likely out of memory`, `killed` or `error`."""
    is_about_memory = "memory ended" in error or KERNEL_SIGN in error
    # A process that was killed may have said anything before: what ended it stands first.
    if was_killed(error):
        return "killed, most likely out of memory" if is_about_memory else "killed"
    return "out of memory" if has_memory_sign(error) or is_about_memory else "error"


def describe_row(cell: Mapping[str, Any], row: Mapping[str, Any]) -> Row:
    """A run's row with the cell that it belongs to."""
    own = {"cell": cell["name"], "settings": dict(cell["settings"]), "status": "finished"}
    return {"seed": cell["run"]["seed"], "backend": cell["run"]["backend"], **row, **own}
