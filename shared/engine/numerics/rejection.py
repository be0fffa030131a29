"""Rejection: the accuracy of the answers that are kept if the least confident ones are not given.

At each confidence that occurs, all answers with at least this confidence are given. Answers of
equal confidence are given together, since nothing orders them.
"""

from typing import NamedTuple

import numpy as np

from .scores import Scores, Truths, check_scores


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
