"""Rejection: the accuracy of the answers that are kept if the least confident ones are not given.

At each confidence that occurs, all answers with at least this confidence are given. Answers of
equal confidence are given together, since nothing orders them.

The least confidence that is still answered can be chosen, by the accuracy of the answers or by
their share.
"""

from typing import NamedTuple

import numpy as np

from poc.shared.errors import UsageError

from .scores import Scores, Truths, check_scores
from .thresholds import below

# With fewer answers, the accuracy of those that are left is mostly chance.
MIN_ANSWERED = 20


class RejectionCurve(NamedTuple):
    """Share of images that are answered (K,), rising to 1, and the accuracy of these answers (K,).

    `confidence` (K,) is the least one that is answered.
    """

    answered: Scores
    accuracy: Scores
    confidence: Scores

    def accuracy_at(self, share: float) -> float:
        """Return the accuracy if at least this share is answered, in the first step that does."""
        # A share such as 0.9 is no exact fraction of the images.
        place = int(np.searchsorted(self.answered, share - 1e-12))
        return float(self.accuracy[place])


def rejection_curve(confidences: Scores, hits: Truths) -> RejectionCurve:
    """Return the accuracy over the share that is answered.

    Args:
        confidences: (N,), higher for surer answers.
        hits: (N,), True for right answers.

    Raises:
        UsageError: There is no image, or a confidence is not finite.
    """
    known = check_scores(confidences, hits)
    order = np.argsort(-known, kind="stable")
    ordered = known[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    num_answered = ends + 1.0
    return RejectionCurve(
        num_answered / len(known), np.cumsum(hits[order])[ends] / num_answered, ordered[ends]
    )


def confidence_for_accuracy(confidences: Scores, hits: Truths, accuracy: float) -> float:
    """Choose the least confidence at which at least this share of the answers is right.

    Of all that reach it, this is the one that answers most images. It lies halfway between two
    confidences that occur, so that rounding moves no image across.

    Args:
        confidences: (N,), higher for surer answers.
        hits: (N,), True for right answers.
        accuracy: Wanted share of right answers, above 0 and below 1.

    Raises:
        UsageError: The share is out of range, or no confidence with enough answers reaches it.
    """
    check_share(accuracy, "accuracy of the answers")
    curve = rejection_curve(confidences, hits)
    is_enough = np.round(curve.answered * len(hits)) >= MIN_ANSWERED
    # A share such as 0.9 is no exact fraction of the images.
    reached = np.flatnonzero(is_enough & (curve.accuracy >= accuracy - 1e-12))
    if not len(reached):
        best = f", and the best is {curve.accuracy[is_enough].max():.4g}" if is_enough.any() else ""
        raise UsageError(
            f"Got an accuracy of {accuracy:g} for the answers, which no {MIN_ANSWERED} or more of "
            f"the {len(hits):,} validation images reach{best}. Expected one that can be reached. "
            "Try a lower one."
        )
    return below(confidences, float(curve.confidence[reached[-1]]))


def confidence_for_share(confidences: Scores, hits: Truths, share: float) -> float:
    """Choose the least confidence at which at least this share of the images is answered.

    Args:
        confidences: (N,), higher for surer answers.
        hits: (N,), True for right answers; they decide nothing here.
        share: Wanted share of images that are answered, above 0 and below 1.

    Raises:
        UsageError: The share is out of range.
    """
    check_share(share, "share of answered images")
    curve = rejection_curve(confidences, hits)
    place = int(np.searchsorted(curve.answered, share - 1e-12))
    return below(confidences, float(curve.confidence[place]))


def check_share(value: float, what: str) -> None:
    """Refuse a wanted share that is not between 0 and 1.

    Raises:
        UsageError: See above.
    """
    if not 0 < value < 1:
        raise UsageError(
            f"Got {value:g} as the {what}. Expected a share above 0 and below 1. Try 0.95."
        )
