"""Do both frameworks need as many steps to a target? One comparison per direction and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poc.shared.analysis.statistics.convergence import (
    Convergence,
    compare_convergence,
    steps_to_target,
)
from poc.shared.analysis.statistics.intervals import holm
from poc.shared.spec.habits.designs import COMMON, NATIVE

from .outcomes import Outcome, Outcomes

METRIC = "val/accuracy"


@dataclass(frozen=True, kw_only=True)
class TargetRow:
    """One comparison: the candidate's epochs to the target against those of the reference.

    Attributes:
        arm: `common` or `native`.
        candidate: Framework that may be faster.
        reference: The other framework.
        num_missed: Runs of the candidate and of the reference that miss the target.
        num_runs: Runs of both.
        found: The comparison; None if it cannot be made.
        adjusted: Holm's p value over all comparisons.
    """

    arm: str
    candidate: str
    reference: str
    num_missed: tuple[int, int]
    num_runs: tuple[int, int]
    found: Convergence | None
    adjusted: float | None = None


def compare_targets(outcomes: Outcomes) -> list[TargetRow]:
    """Compare both frameworks in both directions, with all habits common and with all native.

    Empty if the plan has no target.
    """
    target = outcomes.plan.target
    if target is None:
        return []
    rows = []
    for arm in (COMMON, NATIVE):
        epochs = {
            backend: [
                epochs_to(outcome, target)
                for outcome in outcomes.cells
                if (outcome.cell.arm, outcome.cell.backend) == (arm, backend)
                and outcome.accuracy is not None
            ]
            for backend in ("tf", "torch")
        }
        rows += [compare(arm, pair, epochs) for pair in (("tf", "torch"), ("torch", "tf"))]
    p_values = [row.found.p_value for row in rows if row.found]
    adjusted = iter(holm(p_values))
    return [
        TargetRow(**{**vars(row), "adjusted": next(adjusted) if row.found else None})
        for row in rows
    ]


def compare(arm: str, pair: tuple[str, str], epochs: Mapping[str, Sequence[float]]) -> TargetRow:
    """Compare the first framework of a pair, as the candidate, with the second."""
    one, other = (epochs[name] for name in pair)
    return TargetRow(
        arm=arm,
        candidate=pair[0],
        reference=pair[1],
        num_missed=(count_missed(one), count_missed(other)),
        num_runs=(len(one), len(other)),
        found=compare_convergence(one, other),
    )


def count_missed(epochs: Sequence[float]) -> int:
    """Count the runs that never reach the target."""
    return sum(value == float("inf") for value in epochs)


def epochs_to(outcome: Outcome, target: float) -> float:
    """Return the epochs after which a run's validation accuracy reached a target."""
    curve = []
    for line in outcome.epochs:
        epoch, accuracy = line.get("epoch"), line.get(METRIC)
        if isinstance(epoch, int | float) and isinstance(accuracy, int | float):
            curve.append((float(epoch), float(accuracy)))
    return steps_to_target(curve, target)
