"""The effect of each habit on the gap, on its size, and on the accuracy of each framework."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from poc.shared.analysis.statistics.intervals import McNemar, holm, mcnemar
from poc.shared.analysis.statistics.paired import PairedMean, paired_mean
from poc.shared.analysis.statistics.uncertainty import SIGNIFICANCE, Array
from poc.shared.engine.numerics.metrics import Interval, wilson_interval

from .outcomes import Units

# Quantity -> its name on the page.
QUANTITIES = {
    "gap": "gap, TensorFlow minus PyTorch",
    "size": "size of the gap",
    "tf": "accuracy in TensorFlow",
    "torch": "accuracy in PyTorch",
}
LEVEL, ALONE, REMOVED, TOGETHER = "level", "alone", "removed", "together"
ALL = "all habits"
Native = frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The mean of one contrast over units.

    Attributes:
        habit: Name of the habit, or of the arm for a level.
        contrast: `level` (of one arm), `alone`, `removed` or `together`.
        quantity: A key of `QUANTITIES`.
        found: The mean, its interval and p value; None without a unit that has all its runs.
        adjusted: Holm's p value over the contrasts of the quantity.
        share: Share of the effect of all habits together on the size of the gap.
    """

    habit: str
    contrast: str
    quantity: str
    found: PairedMean | None
    adjusted: float | None = None
    share: float | None = None

    @property
    def is_shown(self) -> bool:
        """Return whether the mean is shown to differ from 0."""
        return self.adjusted is not None and self.adjusted < SIGNIFICANCE


@dataclass(frozen=True, kw_only=True)
class Count:
    """The units of an arm whose gap is larger than a threshold."""

    arm: str
    threshold: float
    num_units: int
    num_above: int
    interval: Interval
    largest: float


def measure(units: Units, native: Native, quantity: str) -> Array:
    """Return a quantity of an arm, (U,)."""
    if quantity in ("gap", "size"):
        gap = units.gap(native)
        return np.abs(gap) if quantity == "size" else gap
    return units.accuracy(native, quantity)


def list_contrasts(
    units: Units, habits: Sequence[str]
) -> Iterator[tuple[str, str, Native, Native]]:
    """Yield (habit, contrast, arm, arm that it is compared with) of the planned arms."""
    common, native = Native(), Native(habits)
    yield ALL, TOGETHER, native, common
    for name in habits:
        if Native({name}) in units.arms:
            yield name, ALONE, Native({name}), common
        if native - {name} in units.arms:
            yield name, REMOVED, native, native - {name}


def compute_effects(units: Units, habits: Sequence[str]) -> list[Effect]:
    """Compute the levels of the ends, then every contrast, for each quantity."""
    found: list[Effect] = []
    for quantity in QUANTITIES:
        own = [
            Effect(
                habit=name,
                contrast=contrast,
                quantity=quantity,
                found=mean_of(
                    units, measure(units, arm, quantity) - measure(units, base, quantity)
                ),
            )
            for name, contrast, arm, base in list_contrasts(units, habits)
        ]
        found += list_levels(units, habits, quantity)
        found += give_shares(adjust(own)) if quantity == "size" else adjust(own)
    return found


def list_levels(units: Units, habits: Sequence[str], quantity: str) -> list[Effect]:
    """Return the means of both ends. Their p values are not adjusted; that of the gap is read."""
    return [
        Effect(
            habit=name,
            contrast=LEVEL,
            quantity=quantity,
            found=mean_of(units, measure(units, arm, quantity)),
        )
        for name, arm in (("all common", Native()), ("all native", Native(habits)))
    ]


def mean_of(units: Units, values: Array) -> PairedMean | None:
    """Return the mean over the units that have all runs of a contrast, (U,)."""
    known = values[np.isfinite(values)]
    return paired_mean(known.tolist(), units.num_images) if len(known) else None


def adjust(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects with Holm's p values over them."""
    known = [item for item in effects if item.found and item.found.p_value is not None]
    p_values = [
        item.found.p_value for item in known if item.found and item.found.p_value is not None
    ]
    adjusted = dict(zip(map(id, known), holm(p_values), strict=True))
    return [replace(item, adjusted=adjusted.get(id(item))) for item in effects]


def give_shares(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects on the size of the gap with their shares, if all together is above 0."""
    together = next(item for item in effects if item.contrast == TOGETHER)
    if together.found is None or not together.is_shown or together.found.mean <= 0:
        return list(effects)
    whole = together.found.mean
    return [
        replace(item, share=item.found.mean / whole) if item.found else item for item in effects
    ]


def pick(effects: Sequence[Effect], habit: str, contrast: str, quantity: str) -> PairedMean | None:
    """Return the mean of one contrast; None if it was not planned or has no unit."""
    for item in effects:
        if (item.habit, item.contrast, item.quantity) == (habit, contrast, quantity):
            return item.found
    return None


def count_far(
    units: Units, arms: Sequence[tuple[str, Native]], thresholds: Sequence[float]
) -> list[Count]:
    """Count, for each arm, the units whose gap is larger than each threshold."""
    found = []
    for name, native in arms:
        sizes = measure(units, native, "size")
        known = sizes[np.isfinite(sizes)]
        for threshold in thresholds:
            above = int((known > threshold).sum())
            found.append(
                Count(
                    arm=name,
                    threshold=threshold,
                    num_units=len(known),
                    num_above=above,
                    interval=wilson_interval(above, len(known)),
                    largest=float(known.max()) if len(known) else 0.0,
                )
            )
    return found


def compare_far(units: Units, habits: Sequence[str], threshold: float) -> McNemar:
    """Test whether as many units are far apart with all native as with all common habits."""
    native, common = (measure(units, arm, "size") for arm in (Native(habits), Native()))
    known = np.isfinite(native) & np.isfinite(common)
    return mcnemar(native[known] > threshold, common[known] > threshold)
