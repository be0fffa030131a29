"""The test answers of a report's row, image by image, as means over its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.predictions import Predictions, same_images
from poc.shared.engine.numerics.answers import judge
from poc.shared.engine.numerics.metrics import log_softmax, probabilities
from poc.shared.engine.numerics.scores import Truths
from poc.shared.shown_names import join_labels

NO_LABEL = "no label"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers for N images of C classes, as means over runs.

    Attributes:
        ids: (N,) ids, ascending.
        labels: (N,) true classes, or (N, C), 1 for each label of an image.
        shares: (N, C) mean probability of each class, or of each label.
        losses: (N,) mean cross-entropy; with any number of labels, its mean over the labels.
        num_runs: Runs that were averaged.
        class_names: Name of each class.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    shares: NDArray[np.float64]
    losses: NDArray[np.float64]
    num_runs: int
    class_names: Sequence[str]

    @classmethod
    def of(cls, tested: Sequence[Predictions], class_names: Sequence[str]) -> "Answers":
        """Average the answers of runs for the images of the first one.

        Runs that were tested on other images are left out, and `num_runs` does not count them.
        """
        alike = [item for item in tested if same_images(tested[0], item)]
        first = alike[0]
        shares = [probabilities(item.logits, is_multi_label=first.is_multi_label) for item in alike]
        return cls(
            ids=first.ids,
            labels=first.labels,
            shares=np.mean(shares, axis=0),
            losses=np.mean([losses_of(item) for item in alike], axis=0),
            num_runs=len(alike),
            class_names=class_names,
        )

    @property
    def is_multi_label(self) -> bool:
        """Return whether an image may have any number of labels."""
        return self.labels.ndim == 2

    @cached_property
    def answered(self) -> NDArray[np.int64]:
        """Return the (N,) answered classes, or (N, C), 1 for each answered label."""
        if self.is_multi_label:
            return np.asarray(self.shares > 0.5, dtype=np.int64)
        return np.asarray(self.shares.argmax(axis=1), dtype=np.int64)

    @cached_property
    def is_wrong(self) -> Truths:
        """Return (N,) bool, True for images that are answered wrongly."""
        return ~judge(self.answered, self.labels)

    @cached_property
    def worst_labels(self) -> NDArray[np.int64]:
        """Return the (N,) labels that a network with any number of labels is most wrong about."""
        return np.asarray(np.abs(self.shares - self.labels).argmax(axis=1), dtype=np.int64)

    @cached_property
    def confidences(self) -> NDArray[np.float64]:
        """Return the (N,) probability of the answered class.

        With any number of labels: that of the answer about the label that is most wrong.
        """
        rows = np.arange(len(self.ids))
        if not self.is_multi_label:
            return self.shares[rows, self.answered]
        share = self.shares[rows, self.worst_labels]
        return np.maximum(share, 1 - share)

    def truth(self, place: int) -> str:
        """Return the true class of an image, or its labels, as text."""
        return self._named(self.labels[place])

    def answer(self, place: int) -> str:
        """Return the answered class of an image, or the answered labels, as text."""
        return self._named(self.answered[place])

    def worst(self, place: int) -> str:
        """Return the label that is most wrong; empty with one class per image."""
        return self.class_names[self.worst_labels[place]] if self.is_multi_label else ""

    def _named(self, label: NDArray[np.int64]) -> str:
        """Return the name of a class (), or of each label of a row (C,)."""
        if not self.is_multi_label:
            return self.class_names[int(label)]
        chosen = np.flatnonzero(label)
        return join_labels(self.class_names[index] for index in chosen.tolist()) or NO_LABEL


def losses_of(item: Predictions) -> NDArray[np.float64]:
    """Return the (N,) cross-entropy of each image; with any number of labels, their mean."""
    logits = item.logits.astype(np.float64)
    if item.is_multi_label:
        signs = np.where(item.labels == 1, logits, -logits)
        return np.asarray(np.logaddexp(0.0, -signs).mean(axis=1))
    return np.asarray(-log_softmax(logits)[np.arange(len(logits)), item.labels])
