"""Linear probe: a new head on frozen pretrained weights, compared with random ones on every fold.

Each fold of each start in each backend is a run folder of a sweep. So an interrupted probe
continues, and its table can be printed again from the folders.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import numpy as np
from rich.table import Table

from poc.shared.analysis.runs.predictions import Predictions, read_predictions
from poc.shared.analysis.runs.same_data import require_same_data
from poc.shared.analysis.statistics.intervals import mcnemar, spread
from poc.shared.engine.console.work_count import Event
from poc.shared.engine.launch.executors import LocalExecutor
from poc.shared.engine.launch.sweep import run_sweep
from poc.shared.engine.launch.sweep_definition import find_cell_folders
from poc.shared.engine.numerics.answers import judge
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.reading.pretrained import WeightDefaults
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.run import BACKENDS

STARTS = ("pretrained", "drawn")


class Progress(Protocol):
    """Receiver of a probe's progress."""

    def update(self, row: Mapping[str, object], num_cells: int = 0) -> None:
        """Take the row of a run."""

    def watch(self, cell: str, event: Event) -> None:
        """Take an event of a run that trains."""


class Folds(NamedTuple):
    """Predictions of every fold, one after the other, and the accuracy of each."""

    predictions: Predictions
    accuracies: list[float]


class FoldsRow(TypedDict):
    """Results of a start in a backend: its folds, and all test images as one proportion."""

    start: str
    backend: str
    fold_accuracies: list[float]
    accuracy_mean: float
    accuracy_deviation: float | None
    hits: int
    images: int
    accuracy_low: float
    accuracy_high: float


class ProbeResult(TypedDict):
    """Results of a probe.

    `differing`: start -> test images that the two backends answer differently; `gain`: backend ->
    accuracy with pretrained weights minus that with random ones; `p_values`: backend -> exact
    McNemar test of the two starts on the same images.
    """

    rows: list[FoldsRow]
    differing: dict[str, int]
    gain: dict[str, float]
    p_values: dict[str, float]


def run_probe(
    config: Path | None,
    assignments: Sequence[str],
    *,
    weights: str,
    num_folds: int,
    output: Path,
    command: str,
    progress: Progress,
    defaults: WeightDefaults | None = None,
) -> ProbeResult:
    """Train and test every fold of both starts in both backends; keep finished ones.

    Both starts see the images in the view that the weights ask for, unless the settings change it.

    Returns:
        The result of `read_probe`.

    Raises:
        UsageError: The settings are not a valid run, or `output` has another probe.
        CheckFailed: A fold failed.
    """
    if num_folds < 2:
        raise UsageError(f"Got --folds {num_folds}. Expected at least 2. Try --folds 5.")
    axes = [
        f"backend={','.join(BACKENDS)}",
        f"split.fold={','.join(str(fold) for fold in range(num_folds))}",
    ]
    common = [*assignments, "split.kind=kfold", f"split.num_folds={num_folds}"]
    for start in STARTS:
        own = [*common, f"initial_weights={weights}"]
        cells = load_sweep(config, own, axes, defaults=defaults)
        if start != STARTS[0]:
            cells = [replace(cell, run=cell.run.replace(initial_weights=None)) for cell in cells]
        rows = run_sweep(
            cells,
            output / start,
            LocalExecutor(),
            command=command,
            report=partial(tell_row, progress, start),
            watch=partial(watch_cell, progress, start),
        )
        failed = [row["cell"] for row in rows if row["status"] != "finished"]
        if failed:
            raise CheckFailed(
                f"Got failures in {len(failed)} runs, the first in {start}/{failed[0]}. Expected "
                f"all to finish. Try reading the error in {output / start / str(failed[0])}, then "
                "the same command again."
            )
    return read_probe(output, num_folds)


def tell_row(progress: Progress, start: str, row: Mapping[str, object], num_cells: int) -> None:
    """Report the row of a run under the path of its folder in the probe's."""
    progress.update({**row, "cell": f"{start}/{row['cell']}"}, num_cells)


def watch_cell(progress: Progress, start: str, cell: str, event: Event) -> None:
    """Report an event of a run under the path of its folder in the probe's."""
    progress.watch(f"{start}/{cell}", event)


def read_probe(output: Path, num_folds: int) -> ProbeResult:
    """Compute the accuracies over the folds of a finished probe.

    Raises:
        UsageError: The runs were not all trained on the same data.
    """
    folders = {
        (start, cell["settings"]["backend"], cell["settings"]["split.fold"]): folder
        for start in STARTS
        for cell, folder in find_cell_folders(output / start)
    }
    require_same_data(list(folders.values()), is_split_same=False)
    for fold in range(num_folds):
        of_fold = [folders[start, backend, fold] for start in STARTS for backend in BACKENDS]
        require_same_data(of_fold, is_split_same=True)
    found = {
        (start, backend): read_folds(folders[start, backend, fold] for fold in range(num_folds))
        for start in STARTS
        for backend in BACKENDS
    }
    rows = [describe_folds(start, backend, folds) for (start, backend), folds in found.items()]
    pairs = {
        backend: (
            found[STARTS[0], backend].predictions.hits,
            found[STARTS[1], backend].predictions.hits,
        )
        for backend in BACKENDS
    }
    return {
        "rows": rows,
        "differing": {
            start: count_differing(*(found[start, name].predictions for name in BACKENDS))
            for start in STARTS
        },
        "gain": {
            backend: float(first.mean() - second.mean())
            for backend, (first, second) in pairs.items()
        },
        "p_values": {backend: mcnemar(*hits).p_value for backend, hits in pairs.items()},
    }


def read_folds(folders: Iterable[Path]) -> Folds:
    """Read the predictions of several runs and concatenate them."""
    parts = []
    for folder in folders:
        with np.load(folder / "predictions.npz", allow_pickle=False) as file:
            num_classes = file["logits"].shape[1]
        found = read_predictions(folder, num_classes)
        if found is None:
            raise UsageError(
                f"Got {str(folder)!r}, which has no predictions. Expected a finished run. Try "
                "running it again."
            )
        parts.append(found)
    pooled = Predictions(
        logits=np.concatenate([part.logits for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
    )
    return Folds(pooled, [float(part.hits.mean()) for part in parts])


def count_differing(first: Predictions, second: Predictions) -> int:
    """Return the number of images that two runs answer differently, in any label."""
    return int((~judge(first.predicted, second.predicted)).sum())


def describe_folds(start: str, backend: str, folds: Folds) -> FoldsRow:
    """Return the row of a start: mean and deviation over the folds, and the pooled proportion."""
    mean, deviation, _ = spread(folds.accuracies)
    hits, count = int(folds.predictions.hits.sum()), len(folds.predictions.hits)
    low, high = wilson_interval(hits, count)
    return {
        "start": start,
        "backend": backend,
        "fold_accuracies": folds.accuracies,
        "accuracy_mean": mean,
        "accuracy_deviation": deviation,
        "hits": hits,
        "images": count,
        "accuracy_low": low,
        "accuracy_high": high,
    }


def probe_table(result: ProbeResult) -> Table:
    """Return a table with a line per start and backend."""
    table = Table(title="Linear probe", title_justify="left", box=None, pad_edge=False)
    names = ("body", "backend", "folds, mean ± sd", "right", "95 % interval", "backends differ on")
    for name in names:
        table.add_column(name, justify="left" if name in names[:2] else "right")
    for row in result["rows"]:
        table.add_row(
            row["start"],
            row["backend"],
            f"{row['accuracy_mean']:.4f} ± {row['accuracy_deviation']:.4f}",
            f"{row['hits']} of {row['images']}",
            f"{row['accuracy_low']:.4f} to {row['accuracy_high']:.4f}",
            f"{result['differing'][row['start']]} images",
        )
    return table
