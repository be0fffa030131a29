"""ROC and precision-recall curves, and their areas, from the ranking of scores.

Images of equal scores are one step of a curve, because no threshold separates them. The area under
the ROC curve is the chance that an image of the class has a higher score than another image, with
ties as one half; it is the trapezoid rule on the curve. The average precision is the sum of
precisions, each times the step of the recall, without interpolation (as in scikit-learn).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scores import Scores, Truths, check_scores


class Curve(NamedTuple):
    """A curve (K,) each: `x` and `y` at each threshold, from the strictest to the most lenient.

    An image is answered as the class if its score is at least the threshold. The first threshold of
    a ROC curve is infinite: nothing is answered as the class.
    """

    x: Scores
    y: Scores
    thresholds: Scores


class Placements(NamedTuple):
    """Shares of the other side that each image outranks, with ties as one half.

    `positive` is (m,) for the images of the class, `negative` (n,) for the others. The mean of each
    is the area under the ROC curve; their variances give its uncertainty (DeLong 1988).
    """

    positive: Scores
    negative: Scores

    @property
    def area(self) -> float:
        """Return the area under the ROC curve."""
        return float(self.positive.mean())


def roc_curve(scores: Scores, truths: Truths) -> Curve | None:
    """Return the false positive rate (x) and the true positive rate (y); None with one class.

    Args:
        scores: (N,), higher for the class.
        truths: (N,), True for images of the class.

    Raises:
        UsageError: A score is not finite.
    """
    steps = count_steps(scores, truths)
    if steps is None:
        return None
    thresholds, hits, alarms = steps
    return Curve(
        np.concatenate([[0.0], alarms / alarms[-1]]),
        np.concatenate([[0.0], hits / hits[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def precision_recall_curve(scores: Scores, truths: Truths) -> Curve | None:
    """Return the recall (x) and the precision (y) at each threshold; None with one class.

    The strictest threshold is the highest score. Scores and truths are (N,), as in `roc_curve`.

    Raises:
        UsageError: A score is not finite.
    """
    steps = count_steps(scores, truths)
    if steps is None:
        return None
    thresholds, hits, alarms = steps
    return Curve(hits / hits[-1], hits / (hits + alarms), thresholds)


def average_precision(curve: Curve) -> float:
    """Return the area under a precision-recall curve: sum of steps of the recall x precision."""
    return float((np.diff(curve.x, prepend=0.0) * curve.y).sum())


def place(scores: Scores, truths: Truths) -> Placements | None:
    """Return the share of the other side that each image outranks; None with one class.

    Args:
        scores: (N,), higher for the class.
        truths: (N,), True for images of the class.

    Raises:
        UsageError: A score is not finite.
    """
    known = check_scores(scores, truths)
    if truths.all() or not truths.any():
        return None
    inside, outside = known[truths], known[~truths]
    return Placements(outrank(inside, outside), 1 - outrank(outside, inside))


def outrank(scores: Scores, others: Scores) -> Scores:
    """Return the share of `others` (n,) below each score (m,), with ties as one half: (m,)."""
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * len(others)))


def count_steps(scores: Scores, truths: Truths) -> tuple[Scores, Scores, Scores] | None:
    """Return distinct scores (K,), falling, with the images of the class and others at or above.

    Scores and truths are (N,). Returns None if all images are of the class, or none is.
    """
    known = check_scores(scores, truths)
    if truths.all() or not truths.any():
        return None
    order = np.argsort(-known, kind="stable")
    ordered, is_hit = known[order], truths[order]
    # The last image of each group of equal scores.
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(is_hit)[ends].astype(np.float64)
    return ordered[ends], hits, np.asarray(1.0 + ends - hits)


def thin(curve: Curve, num_points: int = 200) -> Curve:
    """Leave out points (K,) of a curve that a picture cannot show: less than 1 / N apart.

    The first and the last point stay, and of the others each that is at least 1 / `num_points` from
    the one before, in x or in y.
    """
    kept = [0]
    for index in range(1, len(curve.x)):
        last = kept[-1]
        moved = max(abs(curve.x[index] - curve.x[last]), abs(curve.y[index] - curve.y[last]))
        if moved * num_points >= 1:
            kept.append(index)
    if kept[-1] != len(curve.x) - 1:
        kept.append(len(curve.x) - 1)
    chosen: NDArray[np.int64] = np.asarray(kept, dtype=np.int64)
    return Curve(*(np.asarray(values[chosen]) for values in curve))
