"""Answers by logits, for one class per image and for any number of labels.

Labels are (N,) classes, or (N, C) with 1 for each label that an image has. Answers have the same
form: the class of the largest logit, or every label whose logit is above 0, a probability of more
than 1/2. An answer with labels is right if all of its labels are.
"""

import numpy as np
from numpy.typing import NDArray

from .scores import Scores, Truths, log_odds

Labels = NDArray[np.int64]


def answer(logits: NDArray[np.floating], *, is_multi_label: bool) -> Labels:
    """Return the answers (N,), or (N, C) with any number of labels, from logits (N, C)."""
    if is_multi_label:
        return np.asarray(logits > 0, dtype=np.int64)
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def judge(answers: Labels, labels: Labels) -> Truths:
    """Return (N,) bool, True where an answer is right, from answers and labels of one form."""
    same = np.asarray(answers == labels)
    return np.asarray(same.all(axis=1) if same.ndim == 2 else same, dtype=np.bool_)


def right_answers(logits: NDArray[np.floating], labels: Labels) -> Truths:
    """Return (N,) bool, True where the answer of logits (N, C) is right, for labels of a form."""
    return judge(answer(logits, is_multi_label=labels.ndim == 2), labels)


def truths_of(labels: Labels, position: int) -> Truths:
    """Return (N,) bool, True for images of one class, or with one label."""
    return np.asarray(labels[:, position] == 1 if labels.ndim == 2 else labels == position)


def scores_of(logits: NDArray[np.floating], position: int, *, is_multi_label: bool) -> Scores:
    """Return (N,) log-odds of one class against the rest, or of one label against its absence."""
    if is_multi_label:
        return logits[:, position].astype(np.float64)
    return log_odds(logits, position)
