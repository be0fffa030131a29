"""`poc.run` and `poc.compare`: training from Python, in processes of the frameworks' own."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import pandas as pd

from poc.shared.actions.comparison import (
    check_parity,
    check_start,
    compare_backends,
    describe_failure,
    difference_verdict,
)
from poc.shared.actions.requested_run import refuse_beside_resume, request_run, require_backend
from poc.shared.analysis.runs.load import load_notes
from poc.shared.engine.console.progress import TrainingProgress
from poc.shared.engine.console.work_count import Report, noting
from poc.shared.engine.folder.save_schedule import DEFAULT as SAVE_EVERY
from poc.shared.engine.launch.course import Course
from poc.shared.engine.launch.run import launch_run, resume_run
from poc.shared.spec.run import RunSpec

from .arguments import read_optional_path, read_path, read_settings
from .python_call import Notes, python_call, refuse_unknown, write_settings
from .results import Comparison, RunResult

FilePath = str | os.PathLike[str]
WITH_RESUME = "--data, --save-every, --processes, --max-restarts, --engine, --address and --verbose"


class RunKeywords(TypedDict, total=False):
    """Keywords that describe a run: the options of `poc run`, under their names."""

    method: str
    model: str
    student: str
    teacher: FilePath
    k: int
    config: FilePath
    data: str
    epochs: int
    batch_size: int | Literal["auto"]
    seed: int
    dtype: Literal["float32", "float64", "bfloat16", "float16"]
    weights: FilePath
    settings: Mapping[str, object]


class TogetherKeywords(RunKeywords, total=False):
    """Keywords of a run that several processes may train together."""

    processes: int
    max_restarts: int
    engine: Literal["local", "ray"]
    address: str


def run(
    *,
    backend: Literal["tf", "torch"] | None = None,
    output: FilePath | None = None,
    overwrite: bool = False,
    resume: FilePath | None = None,
    save_every: str | int | None = None,
    verbose: bool = False,
    **given: Unpack[TogetherKeywords],
) -> RunResult:
    """Train in one framework, in a process of its own or in several, as `poc run` does.

    `import poc` and this call load no framework into the caller's process.

    Args:
        backend: Framework to train with, `tf` or `torch`; None for the one in the config.
        output: Run folder; None for a new one in `runs/`.
        overwrite: Replace the run in `output`.
        resume: Run folder to continue with its own settings; only `data`, `save_every`,
            `processes`, `max_restarts`, `engine`, `address` and `verbose` may be set with it.
        save_every: Time between checkpoints in an epoch, `"10min"` (the default) or `500` steps.
        verbose: Print progress and notes on standard error.
        **given: The run. `method` (default: `lightlayers`), `model`, `student` (the same for a
            network that learns from a teacher), `teacher` (run folder or weight file), `k` (size of
            the light layers), `config` (TOML file or a name of `poc config list`), `data` (such as
            `folder:PATH`; default: `embedded`), `epochs`, `batch_size` (examples, or `auto`),
            `seed`, `dtype`, `weights` (file, `imagenet` or `none`), and `settings`: dotted keys of
            `poc config keys` -> values, such as `{"optimizer.learning_rate": 1e-3}`. Besides,
            `processes` that train it together, `max_restarts` after one has died, and the `engine`
            that starts them, `"local"` or `"ray"`, with the cluster's `address`.

    Returns:
        The run's folder, its row of the comparison table, and its notes.

    Raises:
        UsageError: A keyword, a setting or the data is wrong; the message says what to change.
        CheckFailed: A value is not finite, or memory has ended.
        Interrupted: Ctrl-C, or an interrupt of the notebook; the run can be resumed.
    """
    refuse_unknown("poc.run", given, TogetherKeywords.__annotations__)
    command = describe_call("run", backend=backend, output=output, **given)
    course = take_course(given, save_every)
    with python_call(verbose=verbose):
        if resume is not None:
            place = given.pop("data", None)
            beside = {"backend": backend, "output": output, "overwrite": overwrite, **given}
            refuse_beside_resume(WITH_RESUME, **beside)
            return continue_run(read_path(resume, "resume"), place, course)
        chosen = require_backend(backend, read_optional_path(given.get("config"), "config"))
        with TrainingProgress(chosen) as progress:
            notes = Notes(progress.update)
            row = launch_run(
                read_keywords(chosen, notes, given),
                read_optional_path(output, "output"),
                command=command,
                overwrite=overwrite,
                report=notes,
                course=course,
            )
    return RunResult.of_row(row, [*notes.texts, *load_notes([row])])


def take_course(given: TogetherKeywords, save_every: str | int | None) -> Course:
    """Return how a run is carried out; its keywords are taken out of `given`."""
    return Course(
        save_every=SAVE_EVERY if save_every is None else str(save_every),
        processes=given.pop("processes", 1),
        max_restarts=given.pop("max_restarts", 0),
        engine=given.pop("engine", "local"),
        address=given.pop("address", None),
    )


def continue_run(folder: Path, data: str | None, course: Course) -> RunResult:
    """Continue the run of a folder; if it has finished, only read it.

    Args:
        folder: Run folder.
        data: Present place of its data; None for the recorded one.
        course: Saves and processes.

    Raises:
        UsageError: No run has begun there, or its data is gone.
    """
    command = describe_call("run", resume=folder, data=data)
    with TrainingProgress("resume") as progress:
        notes = Notes(progress.update)
        row = resume_run(folder, command=command, report=notes, course=course, data=data)
    return RunResult.of_row(row, [*notes.texts, *load_notes([row])])


def compare(
    *,
    output: FilePath | None = None,
    overwrite: bool = False,
    parity: bool = True,
    save_every: str | int | None = None,
    verbose: bool = False,
    **given: Unpack[RunKeywords],
) -> Comparison:
    """Train the same run in both frameworks, one after the other, as `poc compare` does.

    Args:
        output: Folder of the two run folders, `tf` and `torch`; None for a new one in `runs/`.
        overwrite: Replace the runs in `output`.
        parity: Climb the parity ladder first, on batches of the run's data.
        save_every: As of `run`.
        verbose: Print progress and notes on standard error.
        **given: As of `run`.

    Returns:
        Both runs, the rungs of the ladder, and a verdict. If a rung is not passed, the call warns,
        and `failure` says what is wrong.

    Raises:
        UsageError, CheckFailed, Interrupted: As `run`.
    """
    refuse_unknown("poc.compare", given, RunKeywords.__annotations__)
    every = SAVE_EVERY if save_every is None else str(save_every)
    with python_call(verbose=verbose):
        root = read_optional_path(output, "output")
        check_start(root, overwrite=overwrite, save_every=every)
        with TrainingProgress("compare") as progress:
            notes = Notes(progress.update)
            spec = read_keywords(None, notes, given)
            rungs = check_parity(spec, is_small=True, report=notes) if parity else []
            rows = compare_backends(
                spec,
                root,
                command=describe_call("compare", output=output, parity=parity, **given),
                overwrite=overwrite,
                report=notes,
                save_every=every,
            )
        verdict = difference_verdict(rows)
    failure = describe_failure(rungs)
    if failure is not None:
        warnings.warn(failure, RuntimeWarning, stacklevel=2)
    return Comparison(
        runs=tuple(RunResult.of_row(row) for row in rows),
        parity=pd.DataFrame([rung.to_json() for rung in rungs]),
        failure=failure,
        verdict=verdict,
        notes=(*notes.texts, *load_notes(rows)),
    )


def read_keywords(backend: str | None, report: Report, given: RunKeywords) -> RunSpec:
    """Return the run that keywords describe.

    Raises:
        UsageError: A keyword or a setting is wrong.
    """
    named = {key: value for key, value in given.items() if key != "settings" and value is not None}
    texts: dict[str, Any] = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value
        for key, value in named.items()
    }
    texts["config"] = read_optional_path(given.get("config"), "config")
    assignments = write_settings(read_settings(given.get("settings")))
    return request_run(
        backend, report, noting(report), is_for_training=True, assignments=assignments, **texts
    )


def describe_call(name: str, **given: object) -> str:
    """Return a call of the API as it would be typed, for the record in the run folder."""
    texts = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value
        for key, value in given.items()
        if value is not None
    }
    return f"poc.{name}({', '.join(f'{key}={value!r}' for key, value in texts.items())})"
