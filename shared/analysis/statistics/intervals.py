"""Figures and tests of classifiers on one test set; the module `uncertainty` has the intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from poc.shared.engine.numerics.ranking import place
from poc.shared.engine.numerics.scores import log_odds


class Spread(NamedTuple):
    """Mean and standard deviation (n - 1) of some values; `sd` is None for a single value."""

    mean: float
    sd: float | None
    num_values: int

    def write(self, form: str = "{:.4f}") -> str:
        """Format the values as `mean ± sd`; without sd if there is none."""
        mean = form.format(self.mean)
        return mean if self.sd is None else f"{mean} ± {form.format(self.sd)}"


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of at least one value."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, len(values))


class McNemar(NamedTuple):
    """Result of the exact McNemar test of two classifiers on the same images.

    `only_first` images are right by the first classifier alone, `only_second` by the second alone.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_hits: NDArray[np.bool_], second_hits: NDArray[np.bool_]) -> McNemar:
    """Test, exactly and two-sided, that two classifiers are right equally often.

    If they are equally good, an image that exactly one of them gets right is the first one's with
    probability 1/2 (McNemar 1947; binomial form).

    Args:
        first_hits: (N,) bool, images that the first classifier gets right.
        second_hits: (N,) bool, the same for the second, for the same images in the same order.
    """
    only_first = int((first_hits & ~second_hits).sum())
    only_second = int((second_hits & ~first_hits).sum())
    total = only_first + only_second
    p_value = float(binomtest(only_first, total).pvalue) if total else 1.0
    return McNemar(only_first, only_second, min(p_value, 1.0))


def combine_p_values(p_values: Sequence[float]) -> float:
    """Combine the p values of several tests that share their images: twice the median, at most 1.

    Valid under any dependence (Meinshausen, Meier, Buehlmann 2009, quantile one half). For an even
    number of tests, the lower of the middle two is the median, so that two tests give Bonferroni's
    value.
    """
    if len(p_values) == 1:
        return p_values[0]
    return min(1.0, 2 * sorted(p_values)[(len(p_values) - 1) // 2])


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979); the order stays that given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def holm_levels(p_values: Sequence[float], significance: float) -> list[float]:
    """Return the level at which Holm's rule judges each p value, in the given order.

    The smallest of m is judged at `significance` / m, the next at `significance` / (m - 1), up to
    the first that fails; all after it are judged at that level. A p value is below its level
    exactly if `holm` adjusts it to less than `significance`.
    """
    levels = [significance] * len(p_values)
    judged_at = 0.0
    has_failed = False
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if not has_failed:
            judged_at = significance / (len(p_values) - rank)
        levels[index] = judged_at
        has_failed = has_failed or p_values[index] >= judged_at
    return levels


def majority_share(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """Return the most frequent answer and its share, the highest accuracy of a constant answer.

    Args:
        labels: (N,) class of each image, or (N, C), 1 for each of its labels; of equally frequent
            ones the first counts.

    Returns:
        The class (), or the set of labels (C,); and its share.
    """
    values, counts = np.unique(labels, axis=0, return_counts=True)
    return np.asarray(values[counts.argmax()]), float(counts.max() / len(labels))


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Count images by true class (row) and predicted class (column).

    Args:
        labels: (N,) true classes.
        predicted: (N,) predicted classes.
        num_classes: Number of classes, C.

    Returns:
        (C, C) counts.
    """
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


class Confusion(NamedTuple):
    """Number of images of a true class with a predicted class, which may be the same one."""

    true: int
    predicted: int
    num_images: int


def count_pairs(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[Confusion]:
    """List the counts above 0 of a confusion matrix, in the order of the classes.

    Unlike the matrix, the list has at most as many entries as there are images.

    Args:
        labels: (N,) true classes.
        predicted: (N,) predicted classes.
    """
    pairs, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    return [
        Confusion(true, guess, count)
        for (true, guess), count in zip(pairs.T.tolist(), counts.tolist(), strict=True)
    ]


def area_under_curve(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float | None:
    """Return the area under the ROC curve of two classes; None if it is not defined.

    Args:
        logits: (N, C) logits; the area is defined for C = 2.
        labels: (N,) true classes; the area is defined if both classes occur.
    """
    if logits.shape[1] != 2:
        return None
    places = place(log_odds(logits, 1), labels == 1)
    return places.area if places else None
