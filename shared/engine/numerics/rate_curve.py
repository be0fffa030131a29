"""The curve of a rate finder: the loss over the learning rate, and the range that it suggests.

The idea is the range test of Smith 2015 (arXiv 1506.01186). Everything here is a rule on the losses
of single batches, one step at each rate, where each rate is the former one times a constant.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

# A smoothed loss is the mean over this share of the steps to either side.
HALF_WINDOW_SHARE = 1 / 25
# A loss this many times the lowest one has diverged: the steps lead away from any minimum.
DIVERGED = 4.0
# The loss must fall by this many standard errors of a smoothed loss before a range is read off. It
# is more than for one comparison, since the lowest of many smoothed losses is chosen.
CLEAR_FALL = 6.0
# Shares of the rate with the lowest loss, which is too high already: one end of the range, and the
# highest rate that can be the other.
SHARE_OF_LOWEST, LARGEST_SHARE = 0.1, 1 / 3
RULE = (
    "The range lies between two rates: a tenth of the rate with the lowest smoothed loss, and the "
    "rate at which this loss falls fastest, looked for up to a third of the rate with the lowest."
)


class RateRange(TypedDict):
    """The range that a curve suggests; without one the rates are None, and `reason` says why.

    `steepest` and `lowest` are the two rates of the rule; the common range of two has none.
    """

    low: float | None
    high: float | None
    steepest: float | None
    lowest: float | None
    reason: str


def no_range(reason: str) -> RateRange:
    """Return that there is no range, and why."""
    return {"low": None, "high": None, "steepest": None, "lowest": None, "reason": reason}


def plan_rates(low: float, high: float, num_steps: int) -> list[float]:
    """Return the rates from low to high; each is the former one times a constant."""
    factor = math.log(high / low) / (num_steps - 1)
    return [low * math.exp(factor * step) for step in range(num_steps)]


def half_window(num_steps: int) -> int:
    """Return the number of steps to either side over which a loss is averaged."""
    return max(1, round(HALF_WINDOW_SHARE * num_steps))


def smooth(losses: Sequence[float], half: int) -> NDArray[np.float64]:
    """Return the mean over `half` steps to either side, fewer at the ends: (n,) for n losses."""
    return np.array(
        [np.mean(losses[max(place - half, 0) : place + half + 1]) for place in range(len(losses))]
    )


def has_diverged(losses: Sequence[float], half: int) -> bool:
    """Say if the last loss is not finite, or the last `half` are far above the lowest ones."""
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) <= half:
        return False
    means = [float(np.mean(losses[end - half : end])) for end in range(half, len(losses) + 1)]
    return means[-1] > DIVERGED * min(means)


def suggest_range(
    rates: Sequence[float], losses: Sequence[float], half: int, *, is_diverged: bool
) -> RateRange:
    """Return the range of rates that a curve suggests, by `RULE`.

    Args:
        rates: Rates of the sweep; those beyond the last loss were not tried.
        losses: Loss of the batch at each rate that was tried; finite.
        half: See `half_window`.
        is_diverged: The sweep ended because the losses diverged.
    """
    window = 2 * half + 1
    if len(losses) < window:
        return no_range("the loss diverges at the lowest rates")
    curve = smooth(losses, half)
    lowest = int(np.argmin(curve))
    left = np.asarray(losses[: lowest + 1]) - curve[: lowest + 1]
    # Each smoothed loss holds its own loss, which makes what is left over smaller.
    spread = float(np.std(left)) / math.sqrt(1 - 1 / window)
    fall = float(np.mean(losses[:window]) - curve[lowest])
    # The first window and the lowest one must not share a loss.
    if lowest < window + half or fall <= CLEAR_FALL * spread / math.sqrt(window):
        return no_range("the loss does not fall by more than it varies between batches")
    if lowest >= len(rates) - 1 - half and not is_diverged:
        return no_range("the loss still falls at the highest rate")
    num_low = sum(rate <= LARGEST_SHARE * rates[lowest] for rate in rates)
    if not num_low:
        return no_range("the lowest rate of the sweep is too close to the rate that is best")
    steepest = int(np.argmin(np.gradient(curve[: lowest + 1])[:num_low]))
    low, high = sorted((rates[steepest], SHARE_OF_LOWEST * rates[lowest]))
    found: RateRange = {**no_range(""), "steepest": rates[steepest], "lowest": rates[lowest]}
    return {**found, "low": low, "high": high}


def join_ranges(ranges: Sequence[RateRange]) -> RateRange:
    """Return the rates that lie in every range."""
    missing = [one["reason"] for one in ranges if one["reason"]]
    if missing:
        return no_range(missing[0])
    low = max(one["low"] for one in ranges if one["low"] is not None)
    high = min(one["high"] for one in ranges if one["high"] is not None)
    if low > high:
        return no_range("the ranges of the two backends do not overlap")
    return {**no_range(""), "low": low, "high": high}
