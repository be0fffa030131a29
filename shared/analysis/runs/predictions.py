"""Saved answers of a run for one part of its data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.npz import read_archive
from poc.shared.engine.numerics.answers import answer, judge, scores_of, truths_of
from poc.shared.engine.numerics.scores import Scores, Truths
from poc.shared.errors import UsageError

from .agreement import AGAIN


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The test part: logits (N, C), labels (N,), ids (N,), in the order of the ids.

    If images have any number of labels, `labels` are (N, C), 1 for each.
    """

    logits: NDArray[np.floating]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    @property
    def is_multi_label(self) -> bool:
        """Return whether an image may have any number of labels."""
        return self.labels.ndim == 2

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the (N,) predicted classes, or (N, C), 1 for each predicted label."""
        return answer(self.logits, is_multi_label=self.is_multi_label)

    @property
    def hits(self) -> Truths:
        """Return (N,) bool, True for right answers."""
        return judge(self.predicted, self.labels)

    def truths(self, position: int) -> Truths:
        """Return (N,) bool, True for images of one class, or with one label."""
        return truths_of(self.labels, position)

    def scores(self, position: int) -> Scores:
        """Return (N,) log-odds of one class against the rest, or of one label."""
        return scores_of(self.logits, position, is_multi_label=self.is_multi_label)


def read_predictions(
    path: Path, num_classes: int, name: str = "predictions.npz"
) -> Predictions | None:
    """Read predictions, sorted by id for pairing two runs; None if the file does not exist."""
    if not (path / name).exists():
        return None
    try:
        file = read_archive(path / name)
        logits, labels, ids = file["logits"], file["labels"], file["ids"]
    except ValueError as error:
        raise UsageError(f"Got a damaged {name} ({error}). Expected an npz file. {AGAIN}") from None
    except KeyError as error:
        raise UsageError(f"Got {name} without {error}. Expected this array. {AGAIN}") from None
    # First of all, since text cannot be compared with a number.
    is_whole = (
        (logits.dtype.kind, labels.dtype.kind, ids.dtype.kind) in (("f", "i", "U"), ("f", "u", "U"))
        and logits.shape == (len(labels), num_classes)
        and labels.shape in (ids.shape, logits.shape)
        and len(labels) > 0
        and bool(np.isfinite(logits).all())
        and bool(((labels >= 0) & (labels < (num_classes if labels.ndim == 1 else 2))).all())
    )
    if not is_whole:
        raise UsageError(
            f"Got a malformed {name}: logits {logits.shape}, labels {labels.shape}, ids "
            f"{ids.shape}. Expected finite logits (N, {num_classes}), labels (N,) from 0 to "
            f"{num_classes - 1} and ids (N,). {AGAIN}"
        )
    order = np.argsort(ids, kind="stable")
    return Predictions(logits=logits[order], labels=labels[order], ids=ids[order])


def same_images(first: Predictions, second: Predictions) -> bool:
    """Return whether two runs were tested on the same images with the same labels."""
    return bool(
        np.array_equal(first.ids, second.ids) and np.array_equal(first.labels, second.labels)
    )
