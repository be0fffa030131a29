"""`poc.read_runs`: finished runs as one pandas table."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pandas as pd

from poc.shared.analysis.report.csv_files import run_frame
from poc.shared.analysis.runs.copies import read_finished_runs
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.errors import UsageError

from .arguments import read_path
from .python_call import python_call

FilePath = str | os.PathLike[str]


def read_runs(
    folders: FilePath | Iterable[FilePath],
) -> pd.DataFrame:
    """Read every finished run in or below the folders, as `poc report` does.

    Args:
        folders: A run folder, the folder of a sweep or of several runs, or a sequence of these.

    Returns:
        One row per run, with the columns of `runs.csv` of a report: `row` (the settings in which
        the runs differ, as a report names them), `method`, `model`, `backend`, `seed`,
        `test_accuracy` (0 to 1), `total_parameters`, `total_seconds`, `folder` and more. Runs
        that differ only in the seed have the same `row` and follow each other.

    Raises:
        UsageError: A folder does not exist, or none of them holds a finished run.

    Warns:
        UserWarning: A run is left out: it has not finished, is damaged, or is a copy of another.
    """
    with python_call():
        paths = read_paths(folders)
        runs, problems = read_finished_runs(paths)
    for problem in problems:
        warnings.warn(f"{problem.name} is left out: {problem.reason}.", stacklevel=2)
    return run_frame(group_runs(runs))


def read_paths(folders: FilePath | Iterable[FilePath]) -> list[Path]:
    """Return one path, or each of several.

    Raises:
        UsageError: There is none, or one is no path.
    """
    is_one = isinstance(folders, str | bytes | os.PathLike) or not isinstance(folders, Iterable)
    several = cast(Iterable[FilePath], [folders] if is_one else folders)
    paths = [read_path(folder, "folders") for folder in several]
    if not paths:
        raise UsageError(
            "Got no folder. Expected run folders, or the folder of a sweep or of several runs. "
            'Try poc.read_runs("runs").'
        )
    return paths
