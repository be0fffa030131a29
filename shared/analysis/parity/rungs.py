"""One rung of the parity ladder: the difference between two sets of named tensors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from poc.shared.engine.worker.operations import ParameterRow
from poc.shared.files.arrays import Array, Arrays

LOSS = "loss:"


@dataclass(frozen=True)
class Rung:
    """One rung: the worst tensor, its error and the tolerance.

    Attributes:
        name: Name of the rung; for steps it has their number.
        worst: The tensor that differs most.
        error: Largest relative difference of this tensor.
        tolerance: Largest error of a rung that is passed.
        num_tensors: Number of tensors compared.
        self_difference: For steps: the error of one backend against itself, started from weights
            that are moved by one unit in the last place.
        learning_rate: For steps: the rate of the first one.
        is_judged: The rung can tell another program from rounding or a kink.
        notes: Changes to the rung for this run, one sentence each.
        is_settled: float64 tells it where float32 cannot, and the backends agree there.
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
    is_settled: bool = False

    @property
    def is_passed(self) -> bool:
        """Return whether the backends agree: within the tolerance (a NaN is not), or in float64."""
        return self.is_settled or bool(self.is_judged and self.error <= self.tolerance)

    @property
    def verdict(self) -> str:
        """Return `equal`, `in float64` (equal there alone), `DIFFERENT` or `not judged`."""
        if self.is_settled:
            return "in float64"
        if not self.is_judged:
            return "not judged"
        return "equal" if self.is_passed else "DIFFERENT"

    @property
    def failure(self) -> str:
        """Return what is wrong with a rung that is not passed, as the end of a sentence."""
        if self.is_judged:
            return (
                f"broken on the rung {self.name!r}: {self.worst} differs by {self.error:.1e}, "
                f"the bound is {self.tolerance:.0e}"
            )
        why = self.notes[-1] if self.notes else "rounding alone breaks the bound"
        return f"not shown on the rung {self.name!r}: {why}; try smaller images or --dtype float64"

    def to_json(self) -> dict[str, object]:
        """Return the rung as JSON values."""
        return {**asdict(self), "verdict": self.verdict, "is_passed": self.is_passed}


def split(values: Arrays) -> tuple[Arrays, Arrays]:
    """Split named values into losses () and all others (…)."""
    losses = {name: value for name, value in values.items() if name.startswith(LOSS)}
    return losses, {name: value for name, value in values.items() if name not in losses}


def compare(name: str, pair: Sequence[Arrays], tolerance: float) -> Rung:
    """Compare two sets of named tensors (…) by their worst relative error.

    Each error is relative to the largest value of its tensor. A name on one side only is an
    infinite error.
    """
    first, second = pair
    if first.keys() != second.keys():
        missing = sorted(first.keys() ^ second.keys())[0]
        return Rung(name, f"{missing} (one side only)", float("inf"), tolerance, len(first))
    errors = {key: relative_error(first[key], second[key]) for key in first}
    worst = max(errors, key=lambda key: errors[key])
    return Rung(name, worst, errors[worst], tolerance, len(errors))


def is_smooth(values: Sequence[Arrays], doubles: Sequence[Arrays], tolerance: float) -> bool:
    """Return whether float32 can judge: each backend's values (…) agree with its own in float64.

    If a unit is within rounding of a kink, float32 may fall on either side. The backends are not
    compared with each other here, so the choice of a batch cannot hide a difference.
    """
    pairs = zip(values, doubles, strict=True)
    return all(compare("probe", pair, tolerance).is_passed for pair in pairs)


def relative_error(first: Array, second: Array) -> float:
    """Return the largest absolute difference over the largest absolute value of either side.

    The arrays have the same shape (…). Unequal shapes, NaN and infinity give infinity.
    """
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    difference = magnitude(first.astype(np.float64) - second.astype(np.float64))
    return difference / max(magnitude(first), magnitude(second)) if difference else 0.0


def magnitude(value: Array) -> float:
    """Return the largest absolute value of an array (…), 0 for an empty one."""
    return float(np.abs(value).max(initial=0))


def differing_rows(declared: Sequence[ParameterRow], built: Sequence[ParameterRow]) -> list[str]:
    """List the names of the parameters whose rows differ, including missing and extra ones."""
    pairs = zip(declared, built, strict=False)
    wrong = [first["name"] for first, second in pairs if first != second]
    longer = max(declared, built, key=len)
    return wrong + [row["name"] for row in longer[min(len(declared), len(built)) :]]
