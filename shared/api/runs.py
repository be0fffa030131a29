"""`poc.read_runs`: finished runs as one pandas table."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from poc.shared.analysis.report.csv_files import run_frame
from poc.shared.analysis.runs.copies import read_finished_runs
from poc.shared.analysis.runs.groups import group_runs

from .python_call import python_call


def read_runs(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
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
    given = [folders] if isinstance(folders, str | os.PathLike) else folders
    paths = [Path(folder) for folder in given]
    with python_call():
        runs, problems = read_finished_runs(paths)
    for problem in problems:
        warnings.warn(f"{problem.name} is left out: {problem.reason}.", stacklevel=2)
    return run_frame(group_runs(runs))
