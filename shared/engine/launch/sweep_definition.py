"""The definition of a sweep, in its folder.

`sweep.json` lists the cells of the folder. The same sweep continues there. Another one is refused,
unless no cell of the former one has ever begun.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from poc.shared.engine.console.work_count import Event
from poc.shared.engine.folder.former_runs import FORMER_FORMATS, SWEEP_FORMAT, check_continuation
from poc.shared.engine.folder.run_folder import LOCK, RunFolder
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.resolving.before_data import check_before_data
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json, write_json
from poc.shared.spec.reading.stored_runs import read_as_meant
from poc.shared.spec.reading.sweep import Cell, StoredCell
from poc.shared.spec.run import RunSpec

Watch = Callable[[str, Event], None]

DEFINITION = "sweep.json"
# Settings of the data that decide the list of images and their parts. Cells that agree in these are
# checked once.
LISTING = ("source", "class_pattern", "on_error", "split")


def store_definition(cells: Sequence[Cell], output: Path, command: str) -> list[Cell]:
    """Write the definition into a new folder, or compare it with an existing one.

    Returns:
        The cells under the names of their folders; another version may have chosen these.
    """
    path = output / DEFINITION
    if path.is_file():
        names = check_definition(cells, read_json(path), output)
        return [replace(cell, name=names[run_key(cell.to_json())]) for cell in cells]
    check_is_free(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be made ({error.strerror}). Expected a "
            "folder that you may write to. Try naming another."
        ) from None
    definition = [cell.to_json() for cell in cells]
    write_json(path, {"format": SWEEP_FORMAT, "command": command, "cells": definition})
    return list(cells)


def check_is_free(output: Path) -> None:
    """Refuse a folder with content that is not a sweep.

    Raises:
        UsageError: The folder has such content.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"Got the output {str(output)!r}, whose content is no sweep. Expected a new or empty "
            "folder. Try naming one."
        )


def check_cells(cells: Sequence[Cell], watch: Watch, *, has_files: bool) -> None:
    """Refuse a new sweep if one of its cells is known to fail, before any cell trains.

    Args:
        cells: Cells of the sweep.
        watch: Called with the cell whose data is checked; a large folder takes minutes.
        has_files: True if the cells find their data and weights where this process does. Then each
            source and split is opened once. Otherwise nothing can be checked here, and a cell that
            fails becomes a row.

    Raises:
        UsageError: As for `check_before_data` and `resolve`; the message names the first such cell.
    """
    opened: set[str] = set()
    for cell in cells if has_files else ():
        try:
            check_before_data(cell.run)
            data = cell.run.data.model_dump(mode="json")
            key = json.dumps([data[name] for name in LISTING])
            if key not in opened:
                opened.add(key)
                watch(cell.name, {"event": "work", "text": "looking at the data"})
                resolve(cell.run)[1].close()
        except UsageError as error:
            what = str(error).removeprefix("Got ")
            raise UsageError(f"Got the cell {cell.name} with {what}") from None


def make_room(cells: Sequence[Cell], output: Path, watch: Watch, *, has_files: bool) -> None:
    """Check a sweep that is new here, and remove another one if none of its cells has ever begun.

    Args:
        cells: Cells of the sweep.
        output: Its folder.
        watch: As for `check_cells`.
        has_files: As for `check_cells`.

    Raises:
        UsageError: The folder has other content, its definition is of another format, a sweep runs
            there now, or a cell of the new sweep is known to fail.
    """
    if not (output / DEFINITION).is_file():
        check_is_free(output)
        check_cells(cells, watch, has_files=has_files)
        return
    stored = read_cells(read_json(output / DEFINITION), output)
    is_same = {run_key(cell) for cell in stored} == {run_key(cell.to_json()) for cell in cells}
    folders = [output / str(cell["name"]) for cell in stored]
    known = {output / DEFINITION, *folders}
    # A file that poc did not write stops the removal; `check_definition` then refuses the folder.
    if is_same or any(path not in known for path in output.iterdir()):
        return
    if any(has_begun(folder) for folder in folders):
        return
    # Checked before the removal: a sweep that is refused must not cost the former one.
    check_cells(cells, watch, has_files=has_files)
    with locked(output):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        (output / DEFINITION).unlink()


def has_begun(folder: Path) -> bool:
    """Tell if a cell's folder holds more than the record of a run that was refused."""
    refusal = {"run.json", RunFolder(folder).log.name, LOCK}
    if not folder.is_dir():
        return folder.exists()
    return any(path.name not in refusal for path in folder.iterdir())


def check_definition(cells: Sequence[Cell], stored: Any, output: Path) -> dict[str, str]:
    """Refuse to continue a sweep with another one; the message names the first difference.

    Returns:
        `run_key` of each cell -> its stored name.
    """
    # Cells are compared by content: another version may have named or ordered them in another way.
    mine = {run_key(cell.to_json()): cell.to_json() for cell in cells}
    theirs = {run_key(cell): cell for cell in read_cells(stored, output)}
    common = mine.keys() & theirs.keys()
    odd = [cell["name"] for key, cell in {**mine, **theirs}.items() if key not in common]
    if odd:
        is_mine, is_theirs = (odd[0] in {c["name"] for c in own.values()} for own in (mine, theirs))
        what = "has changed" if is_mine and is_theirs else "is new" if is_mine else "is gone"
        raise UsageError(
            f"Got another sweep than the one in {str(output)!r} (the cell {odd[0]!r} {what}). "
            "Expected the same sweep, which continues. Try naming a new --output."
        )
    for key, cell in theirs.items():
        what = f"the sweep in {str(output)!r} (cell {cell['name']!r})"
        check_continuation(RunSpec.parse(dict(mine[key]["run"]), ""), what, stored["format"])
    return {key: str(cell["name"]) for key, cell in theirs.items()}


def read_cells(stored: Any, output: Path) -> list[StoredCell]:
    """Read the cells of a sweep's definition; translate settings of an older version.

    Raises:
        UsageError: The definition is of another format, or a name cannot be a folder in `output`.
    """
    known = (SWEEP_FORMAT, *FORMER_FORMATS)
    with suppress(KeyError, TypeError):
        cells = [cast(StoredCell, read_as_meant(cell)) for cell in stored["cells"]]
        # A name with a path in it could lead a removal out of the sweep's folder.
        is_whole = all(is_folder_name(cell["name"]) and run_key(cell) for cell in cells)
        if stored["format"] in known and is_whole:
            return cells
    raise UsageError(
        f"Got the output {str(output)!r}, whose {DEFINITION} is not of the format "
        f"{SWEEP_FORMAT!r}. Expected that format or a new folder. Try naming a new folder."
    )


def is_folder_name(name: str) -> bool:
    """Tell if a name is that of a folder directly in another one."""
    return Path(name).name == name and name not in ("", "..")


def run_key(cell: StoredCell) -> str:
    """Return a key that identifies a cell: its run and its settings in the grid."""
    return json.dumps([cell["run"], cell["settings"]], sort_keys=True)


@contextmanager
def locked(output: Path, *, definition: str = DEFINITION, word: str = "sweep") -> Iterator[None]:
    """Hold the folder of a sweep, or of a study by its `definition` and its `word`.

    The kernel releases it when the process ends in any way.

    Raises:
        UsageError: Another process holds it.
    """
    descriptor = os.open(output / definition, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Got the output {str(output)!r}, where a {word} runs now. Expected one {word} per "
                "folder. Try waiting for it or naming another folder."
            ) from None
        yield
    finally:
        os.close(descriptor)


def find_cell_folders(output: Path) -> list[tuple[StoredCell, Path]]:
    """Return each cell as the sweep's definition stores it, with its run folder.

    Raises:
        UsageError: The folder contains no sweep.
    """
    cells = read_cells(read_json(output / DEFINITION), output)
    return [(cell, output / cell["name"]) for cell in cells]
