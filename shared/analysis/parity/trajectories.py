"""Training steps as the ladder judges them: how many, how large, and what rounding makes of them.

A trajectory amplifies rounding; where the loss is steep enough, without bound. Chaos is told from
error by one backend alone: it takes the same steps again from weights that are moved by one unit in
the last place. Steps that differ from themselves by more than what is allowed between the backends
are not judged; smaller or fewer ones are. The other backend has no say in it, so that the choice
hides no difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights

from .kinks import excuse_kinks
from .rungs import Rung, compare, split

# Small in float32, where a trajectory amplifies rounding; float64 is what discriminates.
RATES: Mapping[str, Mapping[str, float]] = {
    "float64": {"adam": 1e-3, "sgd": 1e-2},
    "float32": {"adam": 1e-4, "sgd": 1e-4},
}
# Rules whose steps are as long as the gradient: they leave a steep loss for infinity.
FOLLOWS_GRADIENT = ("sgd",)
# Of the loss that the first step would take off, were the loss linear. On a parabola that comes
# down to zero the step to the bottom takes off twice the loss by that count.
STEEPNESS_SHARE = 0.5
# How often steps become smaller before they become fewer. In float32 a tenth of the rate moves
# weights by less than the bound, and would show nothing.
NUM_SMALLER: Mapping[str, int] = {"float64": 1, "float32": 0}
# The same for steps that leave for infinity.
NUM_SMALLER_TO_STAY = 6
NUM_MOVES = 2
# Of steps in float64.
EXACT_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Some steps of one update rule across a drop of the learning rate.

    Attributes:
        optimizer: The rule.
        rate: Of the first steps.
        count: How many.
        num_smaller: How often the rate was divided by ten.
    """

    optimizer: str
    rate: float
    count: int
    num_smaller: int = 0

    @property
    def name(self) -> str:
        """`50 adam steps`."""
        return f"{self.count} {self.optimizer} step{'s' if self.count > 1 else ''}"

    @property
    def learning_rates(self) -> list[float]:
        """One a step: a tenth of it from the middle on."""
        kept = max(1, self.count // 2)
        return [self.rate if step < kept else self.rate / 10 for step in range(self.count)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What both backends made of some steps, and one of them of moved weights.

    Attributes:
        steps: Those.
        values: Losses and weights, one a backend; the second is the one that was moved.
        moved: How far that one is from itself: its losses, its weights.
        movement: How far its steps move the trained tensor that they move most.
        doubles: Both backends' values in float64, where float32 cannot judge; see `kinks`.
    """

    steps: Steps
    values: Sequence[Arrays]
    moved: Sequence[Rung]
    movement: float
    doubles: Sequence[Arrays] | None = None

    @property
    def is_calm(self) -> bool:
        """Whether rounding alone stays within the bound."""
        return all(rung.is_passed for rung in self.moved)

    def is_equal(self, tolerance: float) -> bool:
        """Whether the backends agree: no kink needs to be looked for then."""
        rungs = compare_parts(self.steps.name, self.values, tolerance)
        return all(rung.is_passed for rung in rungs)

    @property
    def is_finite(self) -> bool:
        """Whether the steps of the backend that was moved stay finite."""
        return is_finite(self.values[1])

    def rungs(self, usual: "Outcome", tolerance: float, notes: tuple[str, ...]) -> list[Rung]:
        """Losses, then weights; not judged where rounding alone breaks the bound.

        Nor are steps, milder than the usual ones, that a backend could leave out within the bound.
        Where one backend alone leaves for infinity, that is a difference.
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
        return excuse_kinks(rungs, exact, own)


def is_finite(values: Arrays) -> bool:
    """Whether all of them are."""
    return all(bool(np.isfinite(value).all()) for value in values.values())


def worst_parts(name: str, values: Sequence[Arrays], tolerance: float) -> list[Rung]:
    """Losses, then weights, of the first against each of the others: the largest differences."""
    found = [compare_parts(name, (values[0], other), tolerance) for other in values[1:]]
    return [max(rungs, key=lambda rung: rung.error) for rungs in zip(*found, strict=True)]


def scale_steps(steps: Steps, loss: float, gradients: Weights) -> Steps:
    """The steps, no longer than the loss is steep; `gradients` are those of the start."""
    if steps.optimizer not in FOLLOWS_GRADIENT:
        return steps
    square = sum(float(np.square(value, dtype=np.float64).sum()) for value in gradients.values())
    limit = STEEPNESS_SHARE * abs(loss) / square if square else np.inf
    return replace(steps, rate=float(f"{limit:.0e}")) if 0 < limit < steps.rate else steps


def milder_steps(steps: Steps, precision: str, *, is_finite: bool) -> Steps | None:
    """The steps that are tried next, smaller or fewer; none after a single one."""
    allowed = NUM_SMALLER[precision] if is_finite else NUM_SMALLER_TO_STAY
    if steps.num_smaller < allowed:
        rate = float(f"{steps.rate / 10:.1e}")
        return replace(steps, rate=rate, num_smaller=steps.num_smaller + 1)
    return replace(steps, count=steps.count // 2) if steps.count > 1 else None


def move_weights(weights: Weights, precision: str) -> Iterator[Weights]:
    """The weights with each value at the next number of that precision, up or down by chance."""
    for seed in range(NUM_MOVES):
        generator = np.random.default_rng(seed)
        yield {name: move(value, precision, generator) for name, value in weights.items()}


def move(
    value: NDArray[np.floating], precision: str, generator: np.random.Generator
) -> NDArray[np.floating]:
    """One array of them."""
    rounded = value.astype(precision)
    ends = np.where(generator.random(value.shape) < 0.5, -np.inf, np.inf).astype(precision)
    neighbours: NDArray[np.floating] = np.nextafter(rounded, ends)
    return neighbours.astype(np.float64)


def compare_parts(name: str, pair: Sequence[Arrays], tolerance: float) -> list[Rung]:
    """Losses, then weights."""
    parts = [split(values) for values in pair]
    return [
        compare(f"{name}: {what}", [part[index] for part in parts], tolerance)
        for index, what in enumerate(("losses", "weights"))
    ]


def explain_scale(steps: Steps, usual: Steps, loss: float) -> str:
    """Why the first steps are smaller than elsewhere."""
    return (
        f"{steps.optimizer} begins at a rate of {steps.rate:g}, not {usual.rate:g}: the loss of "
        f"{loss:.2g} is so steep that longer steps could leave it for infinity"
    )


def explain_chaos(chaotic: Outcome, judged: Outcome, backend: str) -> str:
    """Why the first steps are not judged, by how much, and which are."""
    own, steps = max(chaotic.moved, key=lambda rung: rung.error), chaotic.steps
    what = (
        f"{steps.name} at a rate of {steps.rate:g} cannot be judged: {backend} differs from itself "
        f"by {own.error:.1e} ({own.worst}) where its weights move by one unit in the last place, "
        f"allowed is {own.tolerance:.0e}"
    )
    milder = f"{judged.steps.name} at a rate of {judged.steps.rate:g}"
    if not judged.is_calm:
        return f"{what}; nor can {milder}"
    if judged.movement <= own.tolerance:
        return f"{what}; {milder} move the weights by {judged.movement:.1e}, which shows nothing"
    return f"{what}; judged are {milder}"
