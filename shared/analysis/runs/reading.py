"""Reading run folders: what is whole is a `Run`, what is not is a `Problem` that says why.

A report is often written about a sweep that is still going or that broke, so a folder that cannot
be read never ends it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poc.shared.data.sources.npz import read_archive
from poc.shared.engine.folder.lock import is_held
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.sweep_definition import DEFINITION
from poc.shared.engine.machine.environment import count_threads
from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json

from .agreement import check_accuracy, check_count, check_ids

# Any of these makes a folder one that a run has written into.
RUN_FILES = ("run.json", "summary.json", "metrics.jsonl", "checkpoints", "worker.log")
UNREADABLE = (
    UsageError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RecursionError,
)


class DataRecord(BaseModel):
    """The part of `run.json` that says what the run trained on."""

    model_config = ConfigDict(strict=True)
    source: str
    split_fingerprint: str
    # Of all images and labels of the source.
    source_fingerprint: str = ""
    counts: dict[str, int]
    class_names: list[str] = Field(min_length=1)


class RunRecord(BaseModel):
    """What a report reads of `run.json`."""

    model_config = ConfigDict(strict=True)
    status: str
    run: dict[str, Any]
    data: DataRecord
    environment: dict[str, object]
    command: str = ""
    error: str | None = None
    sweep: dict[str, Any] = {}


class SummaryRecord(BaseModel):
    """What a report needs of `summary.json`; further columns are kept."""

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
    """What a report reads of one entry of `exports.json`."""

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
class Predictions:
    """The test part: logits (N, C), labels (N,), ids (N,), in the order of the ids."""

    logits: NDArray[np.floating]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) predicted classes."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) whether each is right."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run, wholly read; `predictions` is none without a test part."""

    name: str
    record: RunRecord
    row: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    predictions: Predictions | None
    exports: tuple[ExportRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A folder that is left out of a report, and why."""

    name: str
    reason: str


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """Every run in or below the folders, once each, in the order of their names.

    Raises:
        UsageError: A named folder does not exist.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for root in folders:
        if not root.is_dir():
            raise UsageError(
                f"received {str(root)!r}, which is no folder; name run folders or a sweep's folder"
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
    """The folder itself, or those below it, that a run has written into."""
    if any((root / name).exists() for name in RUN_FILES):
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from find_run_folders(path)


def missing_cells(root: Path, seen: set[Path]) -> list[Problem]:
    """Cells of the sweeps in or below a folder that have not been started."""
    problems = []
    for definition in sorted(root.rglob(DEFINITION)):
        try:
            cells = [str(cell["name"]) for cell in read_json(definition)["cells"]]
        except UNREADABLE:
            problems.append(
                Problem(name=str(definition), reason="malformed: no sweep's definition")
            )
            continue
        paths = [definition.parent / name for name in cells]
        missing = [path for path in paths if path.resolve() not in seen]
        problems += [Problem(name=str(path), reason="has not run yet") for path in missing]
    return problems


def read_or_explain(path: Path) -> Run | Problem:
    """One folder's run, or why there is none."""
    try:
        return read_run(path)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        return Problem(name=str(path), reason=f"{error.title} is malformed: {key}: {first['msg']}")
    except UNREADABLE as error:
        return Problem(name=str(path), reason=shortened(str(error) or type(error).__name__))


def read_run(path: Path) -> Run:
    """One finished run.

    Raises:
        UsageError: It has not finished, or a file is missing or does not fit the others.
    """
    folder = RunFolder(path)
    if not (path / "run.json").is_file():
        raise UsageError("half-written: it holds no run.json")
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
    return Run(
        name=str(path),
        record=record,
        row={"threads": count_threads(content), **summary.model_dump()},
        epochs=read_epochs(folder),
        predictions=predictions,
        exports=tuple(ExportRecord.model_validate(entry) for entry in folder.exports.read()),
    )


def describe_status(status: object, content: dict[str, object], path: Path) -> str:
    """Why an unfinished run is left out."""
    if status == "running" and is_held(path):
        return "half-written: it is still running"
    if status == "running":
        try:
            RunFolder(path).read_checkpoint()
        except UsageError as error:
            return f"half-written, and it cannot go on: {error}"
        return (
            "half-written: its status is 'running', but no process of this machine holds it, so it "
            f"ended without a word; go on with `poc run --resume {path}`"
        )
    if status not in ("interrupted", "failed"):
        return f"run.json is malformed: its status is {status!r}"
    failure = content.get("failure", "error")
    why = f" ({failure}): {content['error']}" if "error" in content else ""
    return f"{status}{why}"


def read_epochs(folder: RunFolder) -> tuple[dict[str, Any], ...]:
    """The lines of metrics.jsonl."""
    lines = folder.read_metrics()
    if not lines or not all(isinstance(line, dict) and "epoch" in line for line in lines):
        raise UsageError("metrics.jsonl is empty or malformed")
    for line in lines:
        for key, value in line.items():
            if key != "stage" and not isinstance(value, int | float | None):
                raise UsageError(f"metrics.jsonl is malformed: {key} is {value!r}")
    return tuple(lines)


def read_predictions(
    path: Path, num_classes: int, name: str = "predictions.npz"
) -> Predictions | None:
    """Predictions in the order of their ids, so that two runs can be paired."""
    if not (path / name).exists():
        return None
    try:
        file = read_archive(path / name)
        logits, labels, ids = file["logits"], file["labels"], file["ids"]
    except ValueError as error:
        raise UsageError(f"{name} is damaged: {error}") from None
    except KeyError as error:
        raise UsageError(f"{name} is malformed: it has no {error}") from None
    is_whole = (
        logits.shape == (len(labels), num_classes)
        and labels.shape == ids.shape
        and len(labels) > 0
        and bool(np.isfinite(logits).all())
        and bool(((labels >= 0) & (labels < num_classes)).all())
    )
    if not is_whole:
        raise UsageError(
            f"{name} is malformed: logits {logits.shape}, labels {labels.shape}, ids "
            f"{ids.shape}, {num_classes} classes"
        )
    order = np.argsort(ids, kind="stable")
    return Predictions(logits=logits[order], labels=labels[order], ids=ids[order])


def shortened(text: str, length: int = 300) -> str:
    """The text, cut where it is long."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def same_images(first: Predictions, second: Predictions) -> bool:
    """Whether two runs were tested on the same images with the same labels."""
    return bool(
        np.array_equal(first.ids, second.ids) and np.array_equal(first.labels, second.labels)
    )
