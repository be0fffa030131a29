"""Precision, recall and F1 of each class, from answers: one against the rest, class by class.

With TP the images of a class that are answered as this class, FP those of other classes that are,
and FN those of the class that are not:

    precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)

A figure whose denominator is 0 is not defined and is NaN: the precision of a class that is never
answered, the recall of a class without images.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]


class ClassFigures(NamedTuple):
    """Figures of each class, (C,) each; NaN where a figure is not defined.

    `support` counts the images of the class, and `answered` the images that are answered as it.
    """

    precision: Figures
    recall: Figures
    f1: Figures
    support: NDArray[np.int64]
    answered: NDArray[np.int64]

    @property
    def macro_f1(self) -> float:
        """Return the mean F1 of the classes that have images or are answered."""
        return float(np.nanmean(self.f1))


def class_figures(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> ClassFigures:
    """Compute the figures of each class.

    Args:
        labels: (N,) true classes, at least one; or (N, C), 1 for each label of an image.
        predicted: Answers of the same form; -1 stands for no answer.
        num_classes: Number of classes, C.
    """
    support, answered = (count(each, num_classes) for each in (labels, predicted))
    same = labels[labels == predicted] if labels.ndim == 1 else labels & predicted
    hits = count(same, num_classes)
    return ClassFigures(
        precision=divide(hits, answered),
        recall=divide(hits, support),
        # TP + FN is the support and TP + FP the answers, so that their sum is 2 TP + FP + FN.
        f1=divide(2 * hits, support + answered),
        support=support,
        answered=answered,
    )


def count(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Count the images of each class, (C,), from labels (N,) or sets of labels (N, C).

    Images without an answer, -1 of (N,), are in no class.
    """
    if labels.ndim == 2:
        return np.asarray(labels.sum(axis=0), dtype=np.int64)
    return np.bincount(labels[labels >= 0], minlength=num_classes)


def divide(parts: NDArray[np.int64], totals: NDArray[np.int64]) -> Figures:
    """Divide (C,) by (C,), with NaN where the total is 0."""
    shares: Figures = np.full(len(totals), np.nan)
    np.divide(parts, totals, out=shares, where=totals > 0)
    return shares
