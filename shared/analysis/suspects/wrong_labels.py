"""Labels that are likely wrong, by answers of networks that were not trained on them.

The rule is that of confident learning, from the package cleanlab.
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

# How many labels are wrong is estimated from the counts of confident disagreements. Those with the
# lowest probability are named: on planted errors better in precision and recall than the package's
# default (docs/suspects.md).
RULE = "low_self_confidence"


class WrongLabel(NamedTuple):
    """A label that is likely wrong.

    Attributes:
        place: Position of the image among the answers.
        label: Position of the class that the image has, or of the label in question.
        suggested: Position of the most likely class; the same label if it is in question.
        probability: Probability of the given class, or that the label is as given.
    """

    place: int
    label: int
    suggested: int
    probability: float


def find_wrong_labels(
    shares: NDArray[np.float64], labels: NDArray[np.int64]
) -> Sequence[WrongLabel]:
    """Find the labels that are likely wrong, the least probable first.

    Args:
        shares: (N, C) probabilities of networks that were not trained on these images.
        labels: (N,) classes, or (N, C), 1 for each label of an image.

    Raises:
        UsageError: cleanlab is not installed.
    """
    if labels.ndim == 2:
        return find_wrong_in_sets(shares, labels)
    # A class without an image here would have no threshold of its own.
    classes = np.unique(labels)
    if len(classes) < 2:
        return []
    own = shares[:, classes]
    own = own / np.maximum(own.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    given = np.searchsorted(classes, labels)
    found = require_cleanlab().find_label_issues(
        given, own, filter_by=RULE, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return [
        WrongLabel(
            int(place),
            int(labels[place]),
            int(classes[own[place].argmax()]),
            float(own[place, given[place]]),
        )
        for place in found
        if own[place].argmax() != given[place]
    ]


def find_wrong_in_sets(
    shares: NDArray[np.float64], labels: NDArray[np.int64]
) -> Sequence[WrongLabel]:
    """Find likely wrong labels of images with any number of them: each label is a question.

    Args:
        shares: (N, C) probabilities of the labels.
        labels: (N, C), 1 for each label of an image.
    """
    found = []
    for label in range(labels.shape[1]):
        share = shares[:, label]
        pairs = np.stack([1 - share, share], axis=1)
        found += [
            item._replace(label=label, suggested=label)
            for item in find_wrong_labels(pairs, labels[:, label])
        ]
    return sorted(found, key=lambda item: item.probability)


def require_cleanlab() -> ModuleType:
    """Import the module of cleanlab that judges labels.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return importlib.import_module("cleanlab.filter")
    except ImportError as error:
        raise UsageError(
            "Got --run, but the package cleanlab, which finds wrong labels, is not importable "
            f"({error}). Expected it to be installed. Try pip install 'poc[doctor]', or leave "
            "--run out."
        ) from None
