"""Answers of two classes at a threshold: their rates with intervals, and the choice of a threshold.

One class is positive. An image is answered as positive if its score is at least the threshold. With
TP and FN the positive images that are answered as positive and as negative, and TN and FP the
negative images that are answered as negative and as positive:

    sensitivity = TP / (TP + FN)    specificity = TN / (TN + FP)
    PPV = TP / (TP + FP)            NPV = TN / (TN + FN)

PPV and NPV depend on the share of positive images, and so hold only for data with the same share.
"""

from typing import NamedTuple, Self

import numpy as np

from poc.shared.errors import UsageError

from .metrics import wilson_interval
from .scores import Scores, Truths, check_scores

# Names of the rates, in the order of tables.
RATES = ("sensitivity", "specificity", "ppv", "npv")


class Rate(NamedTuple):
    """A share with Wilson's 95 % interval; None for a share of nothing."""

    value: float | None
    low: float
    high: float


class AnswerCounts(NamedTuple):
    """Numbers of images by truth and answer; means over runs need not be integers."""

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float

    @classmethod
    def of(cls, answers: Truths, truths: Truths) -> Self:
        """Count answers (N,) and truths (N,), True for positive."""
        return cls(
            float((answers & truths).sum()),
            float((answers & ~truths).sum()),
            float((~answers & truths).sum()),
            float((~answers & ~truths).sum()),
        )

    @property
    def num_positive(self) -> float:
        """Return the number of positive images."""
        return self.true_positives + self.false_negatives

    @property
    def num_negative(self) -> float:
        """Return the number of negative images."""
        return self.true_negatives + self.false_positives

    @property
    def accuracy(self) -> float:
        """Return the share of right answers."""
        return (self.true_positives + self.true_negatives) / sum(self)

    def rate(self, name: str) -> Rate:
        """Return one of `RATES` with its interval."""
        of, out_of = {
            "sensitivity": (self.true_positives, self.num_positive),
            "specificity": (self.true_negatives, self.num_negative),
            "ppv": (self.true_positives, self.true_positives + self.false_positives),
            "npv": (self.true_negatives, self.true_negatives + self.false_negatives),
        }[name]
        interval = wilson_interval(of, out_of)
        return Rate(of / out_of if out_of else None, *interval)

    def describe(self) -> dict[str, float | None]:
        """Return the rates and their ends: `sensitivity`, `sensitivity_low` and so on."""
        found: dict[str, float | None] = {}
        for name in RATES:
            rate = self.rate(name)
            found |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
        return found


def threshold_for_sensitivity(scores: Scores, truths: Truths, sensitivity: float) -> float:
    """Choose the highest threshold at which the sensitivity is at least the wanted one.

    It lies halfway between the last score that is answered as positive and the next one below, so
    that rounding moves no image across; below all scores it is the lowest score itself.

    Args:
        scores: (N,), higher for positive.
        truths: (N,), True for positive.
        sensitivity: Wanted share, above 0 and below 1.

    Raises:
        UsageError: The share is out of range, no image is positive, or a score is not finite.
    """
    if not 0 < sensitivity < 1:
        raise UsageError(
            f"Got a sensitivity of {sensitivity:g}. Expected a share above 0 and below 1. Try 0.95."
        )
    known = check_scores(scores, truths)
    inside = np.sort(known[truths])[::-1]
    if not len(inside):
        raise UsageError(
            "Got no positive image. Expected at least one, to choose a threshold by. Try naming "
            "the other class as positive."
        )
    # As a comparison of shares, because a product such as 0.95 x 20 can round past an integer.
    needed = int(np.argmax(np.arange(1, len(inside) + 1) / len(inside) >= sensitivity))
    return below(known, float(inside[needed]))


def threshold_for_costs(
    scores: Scores, truths: Truths, false_positive_cost: float, false_negative_cost: float
) -> float:
    """Choose the threshold of least cost: FP x cost of one + FN x cost of one.

    Of several with the same cost, it is the one nearest to the log-odds at which calibrated
    probabilities would be cut: log(false_positive_cost / false_negative_cost).

    Args:
        scores: (N,) log-odds, higher for positive.
        truths: (N,), True for positive.
        false_positive_cost: Cost of a negative image that is answered as positive, above 0.
        false_negative_cost: Cost of a positive image that is answered as negative, above 0.

    Raises:
        UsageError: A cost is not above 0 and finite, or a score is not finite.
    """
    costs = (false_positive_cost, false_negative_cost)
    if not all(0 < cost < np.inf for cost in costs):
        raise UsageError(
            f"Got the costs {costs[0]:g} and {costs[1]:g}. Expected two numbers above 0, that of a "
            "false positive and that of a false negative. Try --costs 1,5."
        )
    known = check_scores(scores, truths)
    values = np.unique(known)
    # At the threshold `values[k]`, this many are below it; the last one is above all scores.
    negatives, positives = (
        np.append(np.searchsorted(np.sort(own), values), len(own))
        for own in (known[~truths], known[truths])
    )
    total = costs[0] * ((~truths).sum() - negatives) + costs[1] * positives
    middles = halfway(values[:-1], values[1:])
    candidates = np.concatenate([values[:1], middles, [np.nextafter(values[-1], np.inf)]])
    best = np.flatnonzero(total == total.min())
    wanted = np.log(costs[0] / costs[1])
    return float(candidates[best[np.argmin(np.abs(candidates[best] - wanted))]])


def below(scores: Scores, score: float) -> float:
    """Return the middle between a score and the next lower one of `scores` (N,), if any."""
    lower = scores[scores < score]
    return float(halfway(lower.max(), np.float64(score))) if len(lower) else score


def halfway(lower: Scores | np.float64, upper: Scores | np.float64) -> Scores:
    """Return the middle (…) of each pair, or the upper end where no number is between them."""
    middle = lower + (upper - lower) / 2
    return np.where(middle > lower, middle, upper)
