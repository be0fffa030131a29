"""The answers of finished runs for images that they were not trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.predictions import Predictions, read_predictions
from poc.shared.data.sources.base import Source
from poc.shared.data.splits.recorded import short_hashes
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS
from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.errors import UsageError


class UnseenAnswers(NamedTuple):
    """Mean probabilities for k images.

    Attributes:
        places: (k,) int64 positions in the source, ascending.
        shares: (k, C) means over the runs that were not trained on the image.
    """

    places: NDArray[np.int64]
    shares: NDArray[np.float64]


def read_unseen(records: Sequence[RunRecord], source: Source) -> UnseenAnswers:
    """Average the test and validation answers of runs.

    An image whose content also trained a run does not count for this run.

    Raises:
        UsageError: A run has neither a test nor a validation part, or answers for other images.
    """
    sums = np.zeros((len(source), len(source.class_names)))
    counts = np.zeros(len(source), dtype=np.int64)
    position = {name: index for index, name in enumerate(source.ids)}
    hashes = short_hashes(source)
    for record in records:
        trained = trained_contents(record)
        for item in read_answers(record):
            places = place_ids(item.ids.tolist(), position, record)
            shares = probabilities(item.logits, is_multi_label=item.is_multi_label)
            is_unseen = ~np.isin(hashes[places], trained)
            sums[places[is_unseen]] += shares[is_unseen]
            counts[places[is_unseen]] += 1
    places = np.flatnonzero(counts)
    return UnseenAnswers(places, sums[places] / counts[places, None])


def trained_contents(record: RunRecord) -> NDArray[np.uint64]:
    """Return the hashes (k,) of the images that trained a run; none if its folder has no parts."""
    parts = record.parts
    return np.zeros(0, dtype=np.uint64) if parts is None else parts.contents[parts.is_in("train")]


def place_ids(
    ids: Sequence[str], position: Mapping[str, int], record: RunRecord
) -> NDArray[np.int64]:
    """Return the positions (k,) of ids.

    Raises:
        UsageError: One is not in the data.
    """
    unknown = [name for name in ids if name not in position]
    if unknown:
        raise UsageError(
            f"Got the run {str(record.folder)!r} with an answer for {unknown[0]!r}, which its data "
            "does not have. Expected the answers that the run wrote. Try restoring them."
        )
    return np.array([position[name] for name in ids], dtype=np.int64)


def read_answers(record: RunRecord) -> list[Predictions]:
    """Read the answers of a run for its test and its validation part.

    Raises:
        UsageError: It has neither.
    """
    names = ("predictions.npz", VALIDATION_PREDICTIONS)
    number = len(record.class_names)
    found = [read_predictions(record.folder, number, name) for name in names]
    known = [item for item in found if item is not None]
    if not known:
        raise UsageError(
            f"Got the run {str(record.folder)!r}, which has no answers for test or validation "
            "images. Expected some, since answers for training images hide wrong labels. Try a "
            "run with a test part, or the folds of --set split.kind=kfold."
        )
    return known


def read_records(folders: Sequence[Path], source: Source) -> list[RunRecord]:
    """Read the records of runs, and check that they are about this source.

    Raises:
        UsageError: A run has not finished, or saw other images, labels or classes.
    """
    records = [RunRecord.read(folder) for folder in folders]
    for record in records:
        status = record.content.get("status")
        if status != "finished":
            raise UsageError(
                f"Got --run {str(record.folder)!r} with status={status!r}. Expected a finished "
                f"run. Try `poc run --resume {record.folder}` first."
            )
        if record.data.get("source_fingerprint") != source.fingerprint:
            raise UsageError(
                f"Got --run {str(record.folder)!r}, whose data {record.data.get('source')!r} has "
                f"other images, labels or classes than {source.name!r}. Expected a run on this "
                "very data. Try training one, with --data and the same settings of the data."
            )
    return records
