"""Predictions of a trained run for new images, which see its evaluation view and nothing else.

The run's data need not be there: its record has all that an image goes through.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.folder.decision import CHECKPOINT, AnswerRule
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.numerics.answers import answer
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.engine.trained_run import recorded_network
from poc.shared.errors import UsageError
from poc.shared.machine import count_cpus

from .exported_file import read_network
from .given_images import Given, Item, UnreadableImage, collect_images
from .preparation import Prepared, prepare_ahead
from .recommended_run import find_recommended
from .trained_network import Answering, Network, view_of

BATCH_SIZE = 64
Batch = TypeVar("Batch", "Answered", Prepared)
# More threads than these only wait for each other and for the network.
MAX_THREADS = 8


class Answered(NamedTuple):
    """Logits of a batch.

    Attributes:
        items: The images, also those that cannot be read.
        problems: Why an image cannot be read; empty if it can.
        logits: (k, num_classes) of the k images that can, in their order; of several crops, their
            average as in the run.
    """

    items: Sequence[Item]
    problems: Sequence[str]
    logits: NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Answers for images.

    Attributes:
        names: Path of each file as given, or the position of each other image.
        logits: (N, num_classes), as the network gives them; of several crops, their average as in
            the run.
        answering: Gives the classes and the decision.
    """

    names: Sequence[str | int]
    logits: NDArray[np.floating]
    answering: Answering

    @property
    def class_names(self) -> Sequence[str]:
        """Return the classes in the order of the logits."""
        return self.answering.class_names

    @property
    def decision(self) -> AnswerRule | None:
        """Return the decision that the answers are given with."""
        return self.answering.decision

    @property
    def scaled(self) -> NDArray[np.floating]:
        """Return the logits (N, num_classes) whose softmax are the probabilities."""
        return self.decision.scale(self.logits) if self.decision else self.logits

    @property
    def answers(self) -> NDArray[np.int64]:
        """Return the position (N,) of each image's class, or (N, num_classes), 1 for each label."""
        if self.decision:
            return self.decision.answer(self.logits)
        return answer(self.logits, is_multi_label=self.answering.is_multi_label)

    @property
    def is_rejected(self) -> NDArray[np.bool_]:
        """Return (N,) True for each image that is too unsure for an answer."""
        if self.decision:
            return self.decision.rejects(self.logits)
        return np.zeros(len(self.logits), dtype=np.bool_)


def predict_images(
    folder: Path,
    images: Given,
    *,
    checkpoint: str = CHECKPOINT,
    batch_size: int = BATCH_SIZE,
    use_decision: bool = True,
    report: Report = unheard,
) -> Predictions:
    """Classify images in a worker of the run's backend, a batch at a time.

    Args:
        folder: Run folder, or an exported file.
        images: As `collect_images` takes them: arrays are uint8 (H, W, C) or (N, H, W, C).
        checkpoint: File in `checkpoints`, without its ending.
        batch_size: Images that are decoded and computed at a time.
        use_decision: Answer by the run's `decision.json`, if it has one.
        report: Called with progress events.

    Raises:
        UsageError: The folder is no trained run, the checkpoint is missing, its decision was made
            for other weights, or an image cannot be read.
    """
    trained = read_network(folder, checkpoint, use_decision=use_decision, note=noting(report))
    check_batch_size(batch_size)
    items = collect_images(images, noting(report))
    with trained.start(report) as network:
        batches = answer_images(network, trained.answering, items, batch_size, report=report)
        logits = [batch.logits for batch in without_problems(batches)]
    return Predictions(
        names=[item.name for item in items],
        logits=np.concatenate(logits),
        answering=trained.answering,
    )


def without_problems(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches.

    Raises:
        UsageError: An image cannot be read; its file may have changed since it was inspected.
    """
    for batch in batches:
        for item, problem in zip(batch.items, batch.problems, strict=True):
            if problem:
                raise UnreadableImage(item.name, problem)
        yield batch


def answer_images(
    network: Network,
    answering: Answering,
    items: Sequence[Item],
    batch_size: int = BATCH_SIZE,
    *,
    num_threads: int | None = None,
    report: Report = unheard,
) -> Iterator[Answered]:
    """Yield the logits of images, a batch at a time, in their order.

    Args:
        network: Computes them.
        answering: Gives the view.
        items: The images.
        batch_size: Images of a batch.
        num_threads: Threads that decode and resize; None: as many as processors, at most 8.
        report: Called with progress events.
    """
    view = answering.view
    threads = num_threads or min(count_cpus(), MAX_THREADS)
    count, done = WorkCount(report, "computing images", len(items)), 0
    for batch in prepare_ahead(items, view, batch_size=batch_size, num_threads=threads):
        logits: NDArray[np.floating] = np.empty((0, len(answering.class_names)))
        if len(batch.images):
            found = network.logits(batch.images)
            logits = average_views(found, view.num_views, view.average)
        yield Answered(batch.items, batch.problems, logits)
        done += len(batch.items)
        count(done)


def prepare_images(
    folder: Path, images: Given, *, batch_size: int = BATCH_SIZE, report: Report = unheard
) -> Iterator[NDArray[np.float32]]:
    """Yield batches (N * views, H, W, C) float32 as the run's network sees the images.

    Args:
        folder: Run folder.
        images: As `collect_images` takes them: arrays are uint8 (H, W, C) or (N, H, W, C).
        batch_size: Images N of a batch; each has 1, 5 or 10 views, next to each other.
        report: Called with notes.

    Raises:
        UsageError: As `predict_images`.
    """
    view = view_of(recorded_network(RunRecord.read(find_recommended(folder))))
    check_batch_size(batch_size)
    items = collect_images(images, noting(report))
    batches = prepare_ahead(items, view, batch_size=batch_size, num_threads=1)
    for batch in without_problems(batches):
        yield batch.images


def check_batch_size(batch_size: int) -> None:
    """Refuse a batch size that is no whole number, or below 1.

    Raises:
        UsageError: See above.
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise UsageError(
            f"Got batch_size={batch_size!r}. Expected at least 1, a whole number. Try "
            f"{BATCH_SIZE}, the default."
        )
