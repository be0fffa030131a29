"""Answers and train parts of a cell, as its run folder has them."""

from pathlib import Path

import numpy as np

from poc.shared.analysis.study.results import Answers
from poc.shared.data.sources.npz import read_archive
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.engine.folder.record import RunRecord

TEST_PREDICTIONS = "predictions.npz"


def read_answers(folder: Path, file: str) -> Answers:
    """Read which answers of a run are right."""
    arrays = read_archive(folder / file)
    return Answers(
        [str(name) for name in arrays["ids"].tolist()],
        np.asarray(arrays["logits"].argmax(axis=1) == arrays["labels"], dtype=np.bool_),
    )


def read_recorded(folder: Path) -> RecordedParts:
    """Read the parts that a run recorded.

    Raises:
        FileNotFoundError: It has no record of them.
    """
    parts = RunRecord.read(folder).parts
    if parts is None:
        raise FileNotFoundError(f"{folder} has no record of its parts")
    return parts
