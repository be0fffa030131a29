"""Training steps as the ladder judges them: their number and size, and the effect of rounding.

A trajectory amplifies rounding, without bound if the loss is steep enough. One backend alone
distinguishes chaos from error: it takes the same steps again from weights that are moved by one
unit in the last place. If it then differs from itself by more than the bound between backends, the
steps are not judged, but smaller or fewer ones are. The other backend does not influence this
choice, so the choice cannot hide a difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights

from .kinks import excuse_rounding
from .rungs import Rung, compare, split

# Small in float32, where a trajectory amplifies rounding. The strict comparison is in float64.
RATES: Mapping[str, Mapping[str, float]] = {
    "float64": {"adam": 1e-3, "sgd": 1e-2},
    "float32": {"adam": 1e-4, "sgd": 1e-4},
}
# Rules whose steps grow with the gradient: on a steep loss they diverge to infinity.
FOLLOWS_GRADIENT = ("sgd",)
# Share of the loss that the first step would remove if the loss were linear. On a parabola with
# minimum zero, the step to the bottom would remove twice the loss by this count.
STEEPNESS_SHARE = 0.5
# Times that steps become smaller before they become fewer. In float32 a tenth of the rate moves
# weights by less than the bound, and would show nothing.
NUM_SMALLER: Mapping[str, int] = {"float64": 1, "float32": 0}
# The same for steps that diverge to infinity.
NUM_SMALLER_TO_STAY = 6
# Trajectories from moved weights; the largest difference of them counts.
NUM_MOVES = 2
# Bound of steps in float64.
EXACT_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Some steps of one update rule across a drop of the learning rate.

    Attributes:
        optimizer: Name of the update rule.
        rate: Learning rate of the first steps.
        count: Number of steps.
        num_smaller: Times that the rate was divided by ten.
    """

    optimizer: str
    rate: float
    count: int
    num_smaller: int = 0

    @property
    def name(self) -> str:
        """Return the steps in words, `50 adam steps`."""
        return f"{self.count} {self.optimizer} step{'s' if self.count > 1 else ''}"

    @property
    def learning_rates(self) -> list[float]:
        """Return the rate of each step: from the middle on, a tenth of the first rate."""
        kept = max(1, self.count // 2)
        return [self.rate if step < kept else self.rate / 10 for step in range(self.count)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Results of some steps by both backends, and by one of them from moved weights.

    Attributes:
        steps: The steps.
        values: Losses and weights of each backend; the second one also starts from moved weights.
        moved: Errors of the second backend against itself: of its losses, of its weights.
        movement: Relative change of the trained tensor that its steps change most.
        doubles: Both backends' values in float64, if float32 cannot judge; see `kinks`.
    """

    steps: Steps
    values: Sequence[Arrays]
    moved: Sequence[Rung]
    movement: float
    doubles: Sequence[Arrays] | None = None

    @property
    def is_calm(self) -> bool:
        """Return whether rounding alone stays within the bound."""
        return all(rung.is_passed for rung in self.moved)

    def is_equal(self, tolerance: float) -> bool:
        """Return whether the backends agree, so that no search for kinks is needed."""
        rungs = compare_parts(self.steps.name, self.values, tolerance)
        return all(rung.is_passed for rung in rungs)

    @property
    def is_finite(self) -> bool:
        """Return whether the second backend's steps from the original weights stay finite."""
        return is_finite(self.values[1])

    def rungs(self, usual: "Outcome", tolerance: float, notes: tuple[str, ...]) -> list[Rung]:
        """Return the rungs of losses and weights, not judged if rounding alone breaks the bound.

        Milder steps than the usual ones are not judged either, if they move the weights by less
        than the bound: a backend could leave them out. If only one backend diverges to infinity,
        this is a difference.
        """
        is_one_sided = is_finite(self.values[0]) != self.is_finite
        shows = usual is self or self.movement > tolerance
        rungs = [
            replace(
                rung,
                self_difference=own.error,
                learning_rate=self.steps.rate,
                is_judged=(own.is_passed and shows) or is_one_sided,
                notes=notes,
            )
            for rung, own in zip(
                compare_parts(self.steps.name, self.values, tolerance), self.moved, strict=True
            )
        ]
        if self.doubles is None:
            return rungs
        pairs = zip(self.values, self.doubles, strict=True)
        own = [compare_parts(self.steps.name, pair, tolerance) for pair in pairs]
        exact = compare_parts(self.steps.name, self.doubles, EXACT_TOLERANCE)
        return excuse_rounding(rungs, exact, own)


def is_finite(values: Arrays) -> bool:
    """Return whether all values of all arrays (…) are finite."""
    return all(bool(np.isfinite(value).all()) for value in values.values())


def worst_parts(name: str, values: Sequence[Arrays], tolerance: float) -> list[Rung]:
    """Compare the first arrays (…) with each other set; return the worst losses, worst weights."""
    found = [compare_parts(name, (values[0], other), tolerance) for other in values[1:]]
    return [max(rungs, key=lambda rung: rung.error) for rungs in zip(*found, strict=True)]


def scale_steps(steps: Steps, loss: float, gradients: Weights) -> Steps:
    """Reduce the rate of the steps if the loss is steep.

    Args:
        steps: The usual steps.
        loss: Loss at the start.
        gradients: Gradients (…) at the start, by canonical name.
    """
    if steps.optimizer not in FOLLOWS_GRADIENT:
        return steps
    square = sum(float(np.square(value, dtype=np.float64).sum()) for value in gradients.values())
    limit = STEEPNESS_SHARE * abs(loss) / square if square else np.inf
    return replace(steps, rate=float(f"{limit:.0e}")) if 0 < limit < steps.rate else steps


def milder_steps(steps: Steps, precision: str, *, is_finite: bool) -> Steps | None:
    """Return the steps to try next, smaller or fewer; None after a single step."""
    allowed = NUM_SMALLER[precision] if is_finite else NUM_SMALLER_TO_STAY
    if steps.num_smaller < allowed:
        rate = float(f"{steps.rate / 10:.1e}")
        return replace(steps, rate=rate, num_smaller=steps.num_smaller + 1)
    return replace(steps, count=steps.count // 2) if steps.count > 1 else None


def move_weights(weights: Weights, precision: str) -> Iterator[Weights]:
    """Yield the weights with each value moved to the next number, up or down at random.

    Args:
        weights: Canonical `Weights`; shapes do not change.
        precision: Precision in which "next" is meant.
    """
    for seed in range(NUM_MOVES):
        generator = np.random.default_rng(seed)
        yield {name: move(value, precision, generator) for name, value in weights.items()}


def move(
    value: NDArray[np.floating], precision: str, generator: np.random.Generator
) -> NDArray[np.floating]:
    """Move each value of an array (…) to the next number; the result is float64, same shape."""
    rounded = value.astype(precision)
    ends = np.where(generator.random(value.shape) < 0.5, -np.inf, np.inf).astype(precision)
    neighbours: NDArray[np.floating] = np.nextafter(rounded, ends)
    return neighbours.astype(np.float64)


def compare_parts(name: str, pair: Sequence[Arrays], tolerance: float) -> list[Rung]:
    """Compare two backends' losses (), then their `Weights`."""
    parts = [split(values) for values in pair]
    return [
        compare(f"{name}: {what}", [part[index] for part in parts], tolerance)
        for index, what in enumerate(("losses", "weights"))
    ]


def explain_scale(steps: Steps, usual: Steps, loss: float) -> str:
    """Explain why the first steps are smaller than usual."""
    return (
        f"{steps.optimizer} begins at a rate of {steps.rate:g}, not {usual.rate:g}: the loss of "
        f"{loss:.2g} is so steep that longer steps could diverge to infinity"
    )


def explain_chaos(chaotic: Outcome, judged: Outcome, backend: str) -> str:
    """Explain why the first steps are not judged, by how much, and which steps are."""
    own, steps = max(chaotic.moved, key=lambda rung: rung.error), chaotic.steps
    what = (
        f"{steps.name} at a rate of {steps.rate:g} cannot be judged: {backend} differs from itself "
        f"by {own.error:.1e} ({own.worst}) if its weights move by one unit in the last place, and "
        f"the bound is {own.tolerance:.0e}"
    )
    milder = f"{judged.steps.name} at a rate of {judged.steps.rate:g}"
    if not judged.is_calm:
        return f"{what}; nor can {milder}"
    if judged.movement <= own.tolerance:
        return f"{what}; {milder} move the weights by {judged.movement:.1e}, which shows nothing"
    return f"{what}; {milder} are judged instead"
