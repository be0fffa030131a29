"""One rung of the parity ladder: how far apart two sets of named tensors are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from poc.shared.engine.worker.operations import ParameterRow
from poc.shared.files.arrays import Array, Arrays

LOSS = "loss:"


@dataclass(frozen=True)
class Rung:
    """One rung: the worst tensor, its error and what was allowed.

    Attributes:
        name: Of the rung; one of steps says how many.
        worst: The tensor that differs most.
        error: By how much.
        tolerance: What was allowed.
        num_tensors: How many were compared.
        self_difference: Steps alone: how far one backend is from itself when it starts from weights
            that are moved by one unit in the last place.
        learning_rate: Steps alone: that of the first one.
        is_judged: Whether the rung can tell another program from rounding or a kink.
        notes: What was changed for this run, one sentence each.
    """

    name: str
    worst: str
    error: float
    tolerance: float
    num_tensors: int
    self_difference: float | None = None
    learning_rate: float | None = None
    is_judged: bool = True
    notes: tuple[str, ...] = ()

    @property
    def is_passed(self) -> bool:
        """Whether it is judged and the worst error within the tolerance (a NaN is not)."""
        return bool(self.is_judged and self.error <= self.tolerance)

    @property
    def verdict(self) -> str:
        """One word or two."""
        if not self.is_judged:
            return "not judged"
        return "equal" if self.is_passed else "DIFFERENT"

    @property
    def failure(self) -> str:
        """What is wrong with a rung that is not passed."""
        if self.is_judged:
            return (
                f"broken on the rung {self.name!r}: {self.worst} differs by {self.error:.1e}, "
                f"allowed is {self.tolerance:.0e}"
            )
        why = self.notes[-1] if self.notes else "rounding alone breaks the bound"
        return f"not shown on the rung {self.name!r}: {why}; try smaller images or --dtype float64"

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**asdict(self), "verdict": self.verdict, "is_passed": self.is_passed}


def split(values: Arrays) -> tuple[Arrays, Arrays]:
    """Losses, and everything else."""
    losses = {name: value for name, value in values.items() if name.startswith(LOSS)}
    return losses, {name: value for name, value in values.items() if name not in losses}


def compare(name: str, pair: Sequence[Arrays], tolerance: float) -> Rung:
    """Worst relative error over named tensors, each measured against its own largest value."""
    first, second = pair
    if first.keys() != second.keys():
        missing = sorted(first.keys() ^ second.keys())[0]
        return Rung(name, f"{missing} (one side only)", float("inf"), tolerance, len(first))
    errors = {key: relative_error(first[key], second[key]) for key in first}
    worst = max(errors, key=lambda key: errors[key])
    return Rung(name, worst, errors[worst], tolerance, len(errors))


def is_smooth(values: Sequence[Arrays], doubles: Sequence[Arrays], tolerance: float) -> bool:
    """Whether float32 can judge: each backend's values agree with its own in float64.

    Where a unit sits within rounding of a kink, float32 may fall on either side. The other backend
    is not asked, so that the choice of a batch hides no difference.
    """
    pairs = zip(values, doubles, strict=True)
    return all(compare("probe", pair, tolerance).is_passed for pair in pairs)


def relative_error(first: Array, second: Array) -> float:
    """Largest absolute difference over the largest value of either side; infinite for a NaN."""
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    difference = magnitude(first.astype(np.float64) - second.astype(np.float64))
    return difference / max(magnitude(first), magnitude(second)) if difference else 0.0


def magnitude(value: Array) -> float:
    """Largest absolute value."""
    return float(np.abs(value).max(initial=0))


def differing_rows(declared: Sequence[ParameterRow], built: Sequence[ParameterRow]) -> list[str]:
    """Names of the parameters whose rows differ, missing and extra ones included."""
    pairs = zip(declared, built, strict=False)
    wrong = [first["name"] for first, second in pairs if first != second]
    longer = max(declared, built, key=len)
    return wrong + [row["name"] for row in longer[min(len(declared), len(built)) :]]
