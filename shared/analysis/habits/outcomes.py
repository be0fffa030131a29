"""The outcome of each planned cell, read from its run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.reading import Run, read_or_explain
from poc.shared.analysis.statistics.uncertainty import Array
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.training.non_finite import is_non_finite
from poc.shared.errors import UsageError

from .plan import CELLS, HabitPlan, PlannedCell

FINISHED, NOT_FINITE, FAILED, MISSING = "finished", "not finite", "failed", "missing"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A cell with its accuracy; None if it cannot be used.

    Attributes:
        cell: The planned cell.
        status: `finished`, `not finite`, `failed` or `missing`.
        accuracy: Test accuracy; of a loss that was not finite, that of a constant answer.
        seconds: Seconds of the run, if it finished.
        epochs: Lines of its metrics.
        reason: Why it did not finish, or empty.
    """

    cell: PlannedCell
    status: str
    accuracy: float | None
    seconds: float | None = None
    epochs: Sequence[Mapping[str, object]] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """The outcomes of all cells of a plan, and the number of test images."""

    plan: HabitPlan
    cells: Sequence[Outcome]
    num_images: int

    @property
    def without_result(self) -> list[Outcome]:
        """Return the cells that have no accuracy."""
        return [outcome for outcome in self.cells if outcome.accuracy is None]


def read_outcomes(plan: HabitPlan, folder: Path) -> Outcomes:
    """Read every cell of a plan from the experiment's folder.

    Raises:
        UsageError: No run of it has test answers.
    """
    found = {cell.name: read_or_explain(folder / CELLS / cell.name) for cell in plan.cells}
    known = next(
        (item for item in found.values() if isinstance(item, Run) and item.predictions), None
    )
    if known is None or known.predictions is None:
        raise UsageError(
            f"Got {str(folder)!r}, in which no run has test answers yet. Expected at least one "
            "finished run with a test part. Try the command of its plan.json again."
        )
    constant = accuracy_without_numbers(known.predictions)
    cells = [
        take(cell, item)
        if isinstance(item := found[cell.name], Run)
        else explain(cell, folder / CELLS / cell.name, constant)
        for cell in plan.cells
    ]
    return Outcomes(plan=plan, cells=cells, num_images=len(known.predictions.labels))


def accuracy_without_numbers(known: Predictions) -> float:
    """Return the accuracy of a network whose outputs are not numbers, on images with answers.

    It answers with the first class, or, with any number of labels, with none.
    """
    outputs = np.full(known.logits.shape, np.nan)
    return float(right_answers(outputs, known.labels).mean())


def take(cell: PlannedCell, run: Run) -> Outcome:
    """Return the outcome of a finished run."""
    return Outcome(
        cell=cell,
        status=FINISHED,
        accuracy=run.row.get("test_accuracy"),
        seconds=run.row.get("total_seconds"),
        epochs=run.epochs,
    )


def explain(cell: PlannedCell, path: Path, constant: float) -> Outcome:
    """Return the outcome of a run that did not finish; `constant`: accuracy without numbers."""
    try:
        record = RunFolder(path).read_run()
    except UsageError:
        return Outcome(cell=cell, status=MISSING, accuracy=None, reason="has not run yet")
    reason = str(record.get("error", "")) or f"status {record.get('status')}"
    if record.get("status") != "failed":
        return Outcome(cell=cell, status=MISSING, accuracy=None, reason=reason)
    if is_non_finite(reason):
        return Outcome(cell=cell, status=NOT_FINITE, accuracy=constant, reason=reason)
    return Outcome(cell=cell, status=FAILED, accuracy=None, reason=reason)


class Units:
    """Accuracies by arm and framework, one per unit: a set, or a seed of a single set.

    Args:
        outcomes: The outcomes of a plan.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        plan = outcomes.plan
        self.are_sets = len(plan.sets) > 1
        self.num_images = outcomes.num_images
        values: dict[tuple[frozenset[str], str], dict[int, list[float]]] = {}
        for outcome in outcomes.cells:
            cell = outcome.cell
            key = (frozenset(cell.native), cell.backend)
            unit = cell.set_number if self.are_sets else cell.seed
            # NaN, so that a unit with a missing run has no mean.
            known = float("nan") if outcome.accuracy is None else outcome.accuracy
            values.setdefault(key, {}).setdefault(unit, []).append(known)
        self.names = sorted({unit for own in values.values() for unit in own})
        self._accuracies = {
            key: np.array([np.mean(own[unit]) for unit in self.names])
            for key, own in values.items()
        }

    @property
    def arms(self) -> set[frozenset[str]]:
        """Return the sets of native habits that were planned."""
        return {native for native, _ in self._accuracies}

    def accuracy(self, native: frozenset[str], backend: str) -> Array:
        """Return the (U,) accuracies of an arm in a framework; NaN where a run is missing."""
        return self._accuracies[native, backend]

    def gap(self, native: frozenset[str]) -> Array:
        """Return the (U,) accuracies of TensorFlow minus those of PyTorch."""
        found: Array = self.accuracy(native, "tf") - self.accuracy(native, "torch")
        return found
