"""Checks that a run's answers agree with its other files; a report reads no other answers."""

import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.npz import read_archive
from poc.shared.data.splits.recorded import BITS
from poc.shared.engine.folder.run_folder import SPLIT
from poc.shared.errors import UsageError

# Rounding of an accuracy that was written as text. One image of 500,000 changes it by more.
ROUNDING = 1e-6
AGAIN = "Try training again in a new folder."


def check_count(ids: NDArray[np.str_], count: int | None) -> None:
    """Compare the ids (N,) of `predictions.npz` with the number of test images by `run.json`.

    Raises:
        UsageError: They contradict each other, or an id occurs twice.
    """
    if count is not None and count != len(ids):
        raise UsageError(
            f"Got predictions.npz with {len(ids):,} test images. Expected {count:,}, the count in "
            f"run.json. {AGAIN}"
        )
    if len(np.unique(ids)) != len(ids):
        raise UsageError(
            "Got a malformed predictions.npz, in which an id occurs twice. Expected one entry per "
            f"test image. {AGAIN}"
        )


def check_accuracy(hits: NDArray[np.bool_], accuracy: float | None) -> None:
    """Compare the answers (N,), right or not, with the accuracy in `summary.json`, if any.

    Raises:
        UsageError: The answers give another accuracy.
    """
    found = float(hits.mean())
    if accuracy is not None and abs(found - accuracy) > ROUNDING:
        raise UsageError(
            f"Got predictions.npz with a test accuracy of {found:.4f}. Expected {accuracy:.4f}, "
            f"the value in summary.json. {AGAIN}"
        )


def check_ids(path: Path, ids: NDArray[np.str_]) -> None:
    """Compare the ids (N,) of the predictions with the test part in `split.npz`, if it exists.

    Raises:
        UsageError: The ids are those of other images, or the file is unreadable.
    """
    if not (path / SPLIT).exists():
        return
    try:
        parts = read_archive(path / SPLIT)
        expected = parts["ids"][parts["members"] & BITS["test"] != 0].tolist()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"Got a malformed {SPLIT} ({error}). Expected the split of the run. {AGAIN}"
        ) from None
    # Systems write an accent in one piece or in two, so ids are compared in composed form (NFC).
    odd = {unicodedata.normalize("NFC", name) for name in ids.tolist()} ^ {*expected}
    if odd:
        raise UsageError(
            f"Got predictions.npz with other test images than {SPLIT} ({len(odd):,} ids differ, "
            f"the first is {min(odd)!r}). Expected the same ids in both. {AGAIN}"
        )
