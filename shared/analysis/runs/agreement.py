"""Whether a run's answers are those that its other files speak of; a report believes no others."""

import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.npz import read_archive
from poc.shared.data.splits.recorded import BITS
from poc.shared.engine.folder.run_folder import SPLIT
from poc.shared.errors import UsageError

# Of an accuracy that was written as text; one image of 500,000 is more.
ROUNDING = 1e-6


def check_count(ids: NDArray[np.str_], count: int | None) -> None:
    """Compare the ids (N,) of `predictions.npz` with the number of test images by `run.json`.

    Raises:
        UsageError: They contradict each other, or an id stands twice.
    """
    if count is not None and count != len(ids):
        raise UsageError(
            f"predictions.npz holds {len(ids):,} test images, but run.json counts {count:,}"
        )
    if len(np.unique(ids)) != len(ids):
        raise UsageError("predictions.npz is malformed: an id stands in it twice")


def check_accuracy(hits: NDArray[np.bool_], accuracy: float | None) -> None:
    """Compare the answers (N,), right or not, with the accuracy that `summary.json` says, if any.

    Raises:
        UsageError: They give another one.
    """
    found = float(hits.mean())
    if accuracy is not None and abs(found - accuracy) > ROUNDING:
        raise UsageError(
            f"predictions.npz gives a test accuracy of {found:.4f}, but summary.json says "
            f"{accuracy:.4f}"
        )


def check_ids(path: Path, ids: NDArray[np.str_]) -> None:
    """Compare the ids (N,) of the predictions with the test part that the folder keeps, if any.

    Raises:
        UsageError: They are of other images, or the file is unreadable.
    """
    if not (path / SPLIT).exists():
        return
    try:
        parts = read_archive(path / SPLIT)
        expected = parts["ids"][parts["members"] & BITS["test"] != 0].tolist()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{SPLIT} is malformed: {error}") from None
    odd = {unicodedata.normalize("NFC", name) for name in ids.tolist()} ^ {*expected}
    if odd:
        raise UsageError(
            f"predictions.npz holds other test images than {SPLIT} ({len(odd):,} ids differ, the "
            f"first is {min(odd)!r})"
        )
