"""`poc track`: copy what run folders hold to a tracker, once or while the runs train.

A tracker is never part of a run: it reads the folder from outside, and so can neither slow a run
down nor stop it. A second call writes nothing twice.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from poc.shared.analysis.runs.reading import find_run_folders
from poc.shared.analysis.runs.row_labels import flatten
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.folder.lock import is_abandoned
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.suggestions import likeliest

from .mlflow_runs import MlflowTracker
from .run_facts import RunFacts
from .tensorboard_events import TensorboardTracker

SECONDS_BETWEEN_LOOKS = 2.0
# Figures of the summary that a tracker lists as results of the run.
RESULTS = (
    "test_accuracy",
    "test_balanced_accuracy",
    "test_macro_f1",
    "test_loss",
    "test_expected_calibration_error",
    "best_val_accuracy",
    "best_val_loss",
    "best_epoch",
    "total_parameters",
    "macs",
    "total_seconds",
    "peak_memory_bytes",
)


class Tracker(Protocol):
    """The place of one run in a tracker."""

    num_epochs: int

    def log_epoch(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, which ended so many seconds after the start."""

    def finish(self, status: str, seconds: float, results: Mapping[str, float]) -> None:
        """Write the results, and how the run ended, so many seconds after the start."""

    def close(self) -> None:
        """End the connection or the file."""


# Opens the place of one run: facts, and the user's place or None for the default one.
OpenTracker = Callable[[RunFacts, str | None], Tracker]
TRACKERS: Mapping[str, OpenTracker] = MappingProxyType(
    {"tensorboard": TensorboardTracker, "mlflow": MlflowTracker}
)


class Tracked:
    """One run, and how much of it the tracker has.

    Attributes:
        is_over: True once the tracker has how the run ended.
        is_lost: True if it ended with no mark of it, as a killed run does.
    """

    def __init__(self, folder: Path, name: str, open_tracker: OpenTracker, place: str | None):
        self.folder = RunFolder(folder)
        record = RunRecord.read(folder)
        self._facts = RunFacts(
            name=name,
            folder=str(folder.absolute()),
            started=str(record.content.get("started")),
            settings=flatten(record.content["run"]),
        )
        self._tracker = open_tracker(self._facts, place)
        # Abandoned, by the last look: that of a run which ends at this moment is so, too.
        self.is_over = self.is_lost = self.is_suspect = False

    def look(self) -> None:
        """Write the epochs that came since, and the results once the run has ended."""
        # Read before the epochs: a run that ends in between is looked at once more.
        status = self.folder.read_run().get("status")
        seconds = 0.0
        for line in self.folder.read_metrics():
            seconds += float(line.get("epoch_seconds") or 0)
            if line["epoch"] > self._tracker.num_epochs:
                self._tracker.log_epoch(int(line["epoch"]), seconds, numbers(line))
        # A run that has just ended is unheld before it is read as ended, so one look tells nothing.
        is_abandoned_now = status == "running" and is_abandoned(self.folder.path)
        self.is_lost = is_abandoned_now and self.is_suspect
        self.is_suspect = is_abandoned_now
        if self.is_lost:
            status = "interrupted"
        if status in ("finished", "failed", "interrupted"):
            results = self._read_results() if status == "finished" else {}
            self._tracker.finish(str(status), seconds, results)
            self.is_over = True

    def close(self) -> None:
        """Close the tracker."""
        self._tracker.close()

    def _read_results(self) -> dict[str, float]:
        summary = self.folder.read_summary()
        return numbers({name: summary.get(name) for name in RESULTS})


def track_runs(
    folders: Sequence[Path], *, to: str | None, place: str | None, follow: bool, note: Note
) -> int:
    """Copy runs to a tracker, and return how many.

    Args:
        folders: Run folders, or folders of sweeps.
        to: Name of the tracker.
        place: A folder for TensorBoard, an URI for MLflow; None for the default one.
        follow: Go on until every run has ended.
        note: Called with a sentence for the user.

    Raises:
        UsageError: There is no run, no such tracker, or its package is missing.
    """
    open_tracker = find_tracker(to)
    names = name_runs(find_folders(folders))
    tracked = [Tracked(folder, name, open_tracker, place) for folder, name in names.items()]
    try:
        while True:
            for run in tracked:
                if not run.is_over:
                    run.look()
                    if run.is_lost:
                        note(f"No process holds {run.folder.path}: its run ended unexpectedly.")
            waiting = [run for run in tracked if not run.is_over]
            if not waiting or not (follow or any(run.is_suspect for run in waiting)):
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        for run in tracked:
            run.close()
    if waiting:
        note(f"{say(len(waiting), 'run')} still training; --follow would wait for the end.")
    return len(tracked)


def find_tracker(name: str | None) -> OpenTracker:
    """Return what opens a tracker.

    Raises:
        UsageError: No name is given, or there is no such tracker.
    """
    if name is None or name not in TRACKERS:
        given = "no --to" if name is None else f"--to {name!r}"
        wanted = likeliest(name, TRACKERS) if name else next(iter(TRACKERS))
        raise UsageError(f"Got {given}. Expected one of {', '.join(TRACKERS)}. Try --to {wanted}.")
    return TRACKERS[name]


def find_folders(folders: Iterable[Path]) -> list[Path]:
    """Return the run folders in or below the folders, once each.

    Raises:
        UsageError: A folder does not exist, or has no run.
    """
    found: dict[Path, Path] = {}
    for root in folders:
        below = list(find_run_folders(root)) if root.is_dir() else []
        if not below:
            raise UsageError(
                f"Got {str(root)!r}, which has no run. Expected a run folder, or the folder of a "
                "sweep. Try the folder that `poc run` printed."
            )
        for folder in below:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def name_runs(folders: Sequence[Path]) -> dict[Path, str]:
    """Name each run by the last parts of its path that tell all of them apart."""
    parts = [folder.absolute().parts[1:] for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-depth:]) for own in parts]
        if len(set(names)) == len(names):
            break
    return dict(zip(folders, names, strict=True))


def numbers(values: Mapping[str, object]) -> dict[str, float]:
    """Return the values that are numbers."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
