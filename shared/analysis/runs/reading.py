"""Reading run folders: each becomes a `Run` or, if it is incomplete, a `Problem` with the reason.

A report is often written about a sweep that is still running or that broke, so a folder that cannot
be read never ends the report.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poc.shared.engine.folder.decision import Decision, read_decision
from poc.shared.engine.folder.lock import is_held
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.sweep_definition import DEFINITION
from poc.shared.engine.machine.environment import count_threads
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json

from .agreement import AGAIN, check_accuracy, check_count, check_ids
from .predictions import Predictions, read_predictions

# A folder with any of these is one that a run has written into.
RUN_FILES = ("run.json", "summary.json", "metrics.jsonl", "checkpoints", "worker.log")
# Errors of damaged files; RecursionError comes from JSON that is nested too deep.
UNREADABLE = (UsageError, OSError, ValueError, TypeError, KeyError, EOFError, RecursionError)


class DataRecord(BaseModel):
    """The part of `run.json` about the data of a run."""

    model_config = ConfigDict(strict=True)
    source: str
    split_fingerprint: str
    # Digest of all images and labels of the source; empty in runs of former versions.
    source_fingerprint: str = ""
    counts: dict[str, int]
    class_names: list[str] = Field(min_length=1)
    # Notes of the run about its data; None in runs of former versions.
    notes: list[object] | None = None


class RunRecord(BaseModel):
    """The part of `run.json` that a report reads."""

    model_config = ConfigDict(strict=True)
    status: str
    run: dict[str, Any]
    data: DataRecord
    environment: dict[str, object]
    command: str = ""
    error: str | None = None
    sweep: dict[str, Any] = {}


class SummaryRecord(BaseModel):
    """The part of `summary.json` that a report needs; further columns are kept."""

    model_config = ConfigDict(strict=True, extra="allow")
    backend: str
    seed: int
    total_parameters: int = Field(ge=0)
    trainable_parameters: int = Field(ge=0)
    weight_bytes: int = Field(ge=0)
    best_epoch: int
    epoch_seconds: float = Field(ge=0)
    total_seconds: float = Field(ge=0)
    test_accuracy: float | None = Field(None, ge=0, le=1)


class ExportRecord(BaseModel):
    """The part of an entry of `exports.json` that a report reads."""

    model_config = ConfigDict(strict=True)
    format: str
    precision: str
    merges_shortcuts: bool
    weight_bytes: int = Field(ge=0)
    safetensors_bytes: int = Field(ge=0)
    file_bytes: int = Field(ge=0)
    logit_error: float = Field(ge=0)
    trained_accuracy: float = Field(ge=0, le=1)
    exported_accuracy: float = Field(ge=0, le=1)
    latency_1_seconds: float = Field(ge=0)
    latency_64_seconds: float = Field(ge=0)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run with all its files; `predictions` is None without a test part.

    A decision that cannot be used is left out, and `decision_fault` is the reason.
    """

    name: str
    record: RunRecord
    row: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    predictions: Predictions | None
    exports: tuple[ExportRecord, ...] = ()
    decision: Decision | None = None
    decision_fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A folder that is left out of a report, and the reason."""

    name: str
    reason: str


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """Read every run in or below the folders, once each, in the order of their names.

    Raises:
        UsageError: A named folder does not exist.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for root in folders:
        if not root.is_dir():
            raise UsageError(
                f"Got {str(root)!r}, which is not a folder. Expected run folders or the folder of "
                "a sweep. Try the folder that --output named."
            )
        for path in find_run_folders(root):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            found = read_or_explain(path)
            (runs if isinstance(found, Run) else problems).append(found)  # type: ignore[arg-type]
        problems += missing_cells(root, seen)
    return runs, problems


def find_run_folders(root: Path) -> Iterator[Path]:
    """Yield the folder if a run has written into it, and otherwise such folders below it."""
    if any((root / name).exists() for name in RUN_FILES):
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from find_run_folders(path)


def missing_cells(root: Path, seen: set[Path]) -> list[Problem]:
    """List the cells of the sweeps in or below a folder that have not been started."""
    problems = []
    for definition in sorted(root.rglob(DEFINITION)):
        try:
            cells = [str(cell["name"]) for cell in read_json(definition)["cells"]]
        except UNREADABLE:
            problems.append(
                Problem(name=str(definition), reason="malformed: not the definition of a sweep")
            )
            continue
        paths = [definition.parent / name for name in cells]
        missing = [path for path in paths if path.resolve() not in seen]
        problems += [Problem(name=str(path), reason="has not run yet") for path in missing]
    return problems


def read_or_explain(path: Path) -> Run | Problem:
    """Return the run of a folder, or the reason why it cannot be read."""
    try:
        return read_run(path)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        return Problem(name=str(path), reason=f"{error.title} is malformed: {key}: {first['msg']}")
    except UNREADABLE as error:
        reason = str(error).removesuffix(".") or type(error).__name__
        return Problem(name=str(path), reason=shortened(reason))


def read_run(path: Path) -> Run:
    """Read one finished run.

    Raises:
        UsageError: It has not finished, or a file is missing or does not fit the others.
    """
    folder = RunFolder(path)
    if not (path / "run.json").is_file():
        raise UsageError(f"Got a half-written run without run.json. Expected this file. {AGAIN}")
    content = folder.read_run()
    status = content.get("status")
    if status != "finished":
        raise UsageError(describe_status(status, content, path))
    record = RunRecord.model_validate(content)
    summary = SummaryRecord.model_validate(folder.read_summary())
    predictions = read_predictions(path, len(record.data.class_names))
    if predictions is not None:
        count = record.data.counts.get("test")
        check_count(predictions.ids, count)
        check_accuracy(predictions.hits, summary.test_accuracy)
        check_ids(path, predictions.ids)
    decision, fault = read_usable_decision(path, record.data.class_names)
    return Run(
        name=str(path),
        record=record,
        row={"threads": count_threads(content), **summary.model_dump()},
        epochs=read_epochs(folder),
        predictions=predictions,
        exports=tuple(ExportRecord.model_validate(entry) for entry in folder.exports.read()),
        decision=decision,
        decision_fault=fault,
    )


def read_usable_decision(path: Path, names: Sequence[str]) -> tuple[Decision | None, str]:
    """Return the decision of a run, or the reason why it cannot be used; neither if none."""
    try:
        return read_decision(path, names), ""
    except UsageError as error:
        return None, str(error)


def describe_status(status: object, content: dict[str, object], path: Path) -> str:
    """Return the reason why an unfinished run is left out."""
    if status == "running" and is_held(path):
        return "Got a half-written run that is still running. Expected a finished run. Try later."
    if status == "running":
        try:
            RunFolder(path).read_checkpoint()
        except UsageError as error:
            return f"Got a half-written run that cannot go on: {str(error).removeprefix('Got ')}"
        return (
            "Got a half-written run with status='running', but no process of this machine holds "
            f"it, so it ended unexpectedly. Expected 'finished'. Try `poc run --resume {path}`."
        )
    if status not in ("interrupted", "failed"):
        return f"Got a malformed run.json with status={status!r}. Expected 'finished'. {AGAIN}"
    if "error" in content:
        return f"Got a run that {status} ({content.get('failure', 'error')}): {content['error']}"
    return f"Got status={status!r}. Expected 'finished'. Try `poc run --resume {path}`."


def read_epochs(folder: RunFolder) -> tuple[dict[str, Any], ...]:
    """Read the lines of metrics.jsonl."""
    lines = folder.read_metrics()
    if not lines or not all(isinstance(line, dict) and "epoch" in line for line in lines):
        raise UsageError(
            f"Got an empty or malformed metrics.jsonl. Expected one line per epoch. {AGAIN}"
        )
    for line in lines:
        for key, value in line.items():
            if key != "stage" and not isinstance(value, int | float | None):
                raise UsageError(f"Got {key}={value!r} in metrics.jsonl, not a number. {AGAIN}")
    return tuple(lines)


def shortened(text: str, length: int = 300) -> str:
    """Cut a text that is longer than `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
