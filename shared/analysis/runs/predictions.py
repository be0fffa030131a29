"""Saved answers of a run for one part of its data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.npz import read_archive
from poc.shared.errors import UsageError

from .agreement import AGAIN


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The test part: logits (N, C), labels (N,), ids (N,), in the order of the ids."""

    logits: NDArray[np.floating]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the (N,) predicted classes."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Return (N,) bool, True for right answers."""
        return np.asarray(self.predicted == self.labels)


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
    is_whole = (
        logits.shape == (len(labels), num_classes)
        and labels.shape == ids.shape
        and len(labels) > 0
        and bool(np.isfinite(logits).all())
        and bool(((labels >= 0) & (labels < num_classes)).all())
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
