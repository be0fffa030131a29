"""The answer for each image as a row: its label and probabilities, or why there is no label."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.shown_names import join_labels

from .predict import Answered, Predictions
from .trained_network import Answering


class Row(NamedTuple):
    """The answer for one image.

    Attributes:
        file: Its path as given.
        label: Its class, or its labels, joined by `|`; None if it has no answer.
        probability: That of the label, 0 to 1; without an answer, that of the most probable class.
            None for any number of labels, and for a file that cannot be read.
        probabilities: (num_classes,), in the order of the classes; None if it cannot be read.
        problem: Why there is no label; empty if there is one.
    """

    file: str
    label: str | None
    probability: float | None
    probabilities: NDArray[np.float64] | None
    problem: str

    @property
    def is_unreadable(self) -> bool:
        """Tell if the file could not be read."""
        return self.probabilities is None


def write_rows(batch: Answered, answering: Answering) -> Iterator[Row]:
    """Yield a row for each image of a batch, in their order."""
    names = [str(item.name) for item in batch.items]
    readable = [name for name, problem in zip(names, batch.problems, strict=True) if not problem]
    answered = write_answers(Predictions(names=readable, logits=batch.logits, answering=answering))
    for name, problem in zip(names, batch.problems, strict=True):
        yield Row(name, None, None, None, problem) if problem else next(answered)


def write_answers(found: Predictions) -> Iterator[Row]:
    """Yield a row for each image that was computed."""
    is_multi_label = found.answering.is_multi_label
    shares = probabilities(found.scaled, is_multi_label=is_multi_label)
    labels = name_answers(found.answers, found.class_names)
    decision = found.decision
    rows = zip(found.names, labels, found.answers, shares, found.is_rejected, strict=True)
    for name, label, answer, own, is_rejected in rows:
        if is_rejected and decision and decision.rejection:
            problem = f"too unsure: below {decision.rejection.probability:.4f}"
            yield Row(str(name), None, float(own.max()), own, problem)
        else:
            probability = None if is_multi_label else float(own[answer])
            yield Row(str(name), label, probability, own, "")


def name_answers(answers: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """Name the classes (N,) of images, or join the labels of sets of them, (N, num_classes)."""
    if answers.ndim == 1:
        return [class_names[position] for position in answers]
    return [
        join_labels(name for name, is_set in zip(class_names, row, strict=True) if is_set)
        for row in answers
    ]
