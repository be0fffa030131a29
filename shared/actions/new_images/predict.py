"""Predictions of a trained run for new images, which see its evaluation view and nothing else.

The run's data need not be there: its record has all that an image goes through.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline, ReadOptions
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.folder.decision import CHECKPOINT, DECISION, Decision, read_decision
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.numerics.answers import answer
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.engine.trained_run import read_weights, recorded_network
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

from .given_images import Given, GivenImages, Item, collect_images

BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Answers of a run for given images.

    Attributes:
        names: Path of each file as given, or the position of each other image.
        class_names: Classes in the order of the logits.
        logits: (N, num_classes), as the network gives them; of several crops, their average as in
            the run.
        decision: The run's decision, if it applies: its temperature and its threshold.
    """

    names: Sequence[str | int]
    class_names: Sequence[str]
    logits: NDArray[np.floating]
    decision: Decision | None = None
    is_multi_label: bool = False

    @property
    def scaled(self) -> NDArray[np.floating]:
        """Return the logits (N, num_classes) whose softmax are the probabilities."""
        return self.decision.scale(self.logits) if self.decision else self.logits

    @property
    def answers(self) -> NDArray[np.int64]:
        """Return the position (N,) of each image's class, or (N, num_classes), 1 for each label."""
        if self.decision:
            return self.decision.answer(self.logits)
        return answer(self.logits, is_multi_label=self.is_multi_label)


def predict_images(
    folder: Path,
    images: Given,
    *,
    checkpoint: str = "best",
    batch_size: int = BATCH_SIZE,
    use_decision: bool = True,
    report: Report = unheard,
) -> Predictions:
    """Classify images in a worker of the run's backend, a batch at a time.

    Args:
        folder: Run folder.
        images: As `collect_images` takes them: arrays are uint8 (H, W, C) or (N, H, W, C).
        checkpoint: File in `checkpoints`, without its ending.
        batch_size: Images that are decoded and computed at a time.
        use_decision: Answer by the run's `decision.json`, if it has one.
        report: Called with progress events.

    Raises:
        UsageError: The folder is no trained run, the checkpoint is missing, its decision was made
            for other weights, or an image cannot be read.
    """
    record = RunRecord.read(folder)
    decision = find_decision(record, checkpoint, noting(report)) if use_decision else None
    run = show_plainly(recorded_network(record), batch_size)
    weights = read_weights(record, resolve_networks(run), checkpoint)
    items = collect_images(images, noting(report))
    pipeline = open_pipeline(run, items, record.class_names)
    WorkCount(report, f"starting {run.backend}")
    logits = []
    # Pipelines can hold a thread that reads ahead, which must end with this call.
    with closing(pipeline), Worker(run.backend) as worker:
        worker.call(Operations.start_predicting, run=run.model_dump(mode="json"), weights=weights)
        count, done = WorkCount(report, "computing images", len(items)), 0
        for batch in pipeline.epoch(0):
            found = worker.call(Operations.predict_batch, images=batch.images)
            logits.append(average_views(found, pipeline.num_views, pipeline.average))
            done += len(batch.labels)
            count(done)
    return Predictions(
        names=[item.name for item in items],
        class_names=record.class_names,
        logits=np.concatenate(logits),
        decision=decision,
        is_multi_label=run.loss.is_binary,
    )


def find_decision(record: RunRecord, checkpoint: str, note: Note) -> Decision | None:
    """Return the decision of a run, if there is one for this checkpoint.

    Args:
        record: Record of the run.
        checkpoint: File in `checkpoints`, without its ending.
        note: Called with a sentence if the run has a decision, but for other weights than these.

    Raises:
        UsageError: The decision is damaged, or was made for weights that have changed since.
    """
    if checkpoint == CHECKPOINT:
        return read_decision(record.folder, record.class_names)
    if (record.folder / DECISION).exists():
        note(
            f"{DECISION} is for the {CHECKPOINT!r} weights, so the {checkpoint!r} ones answer "
            "without a temperature and a threshold."
        )
    return None


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
    record = RunRecord.read(folder)
    run = show_plainly(recorded_network(record), batch_size)
    items = collect_images(images, noting(report))
    with closing(open_pipeline(run, items, record.class_names)) as pipeline:
        for batch in pipeline.epoch(0):
            yield batch.images


def show_plainly(run: RunSpec, batch_size: int) -> RunSpec:
    """Return the run with its own view of images of any size, and nothing kept of them.

    Raises:
        UsageError: The batch size is no whole number, or below 1.
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise UsageError(
            f"Got batch_size={batch_size!r}. Expected at least 1, a whole number. Try "
            f"{BATCH_SIZE}, the default."
        )
    height, width, channels = run.input_shape or (0, 0, 0)
    own = {"image_size": [height, width], "channels": channels, "batch_size": batch_size}
    # Without a cache and without processes, one batch and the next are all that is held.
    read = {"cache": "off", "num_workers": 0}
    # Plain SGD keeps no moments: a trainer then takes no more memory than its weights.
    update = {"name": "sgd", "momentum": 0.0, "nesterov": False}
    return run.replace(
        data={**run.data.model_dump(mode="json"), **own, **read},
        optimizer={**run.optimizer.model_dump(mode="json"), **update},
    )


def open_pipeline(run: RunSpec, items: Sequence[Item], class_names: Sequence[str]) -> Pipeline:
    """Make the pipeline that evaluates a run's test part, over given images."""
    channels = run.data.channels or 3
    source = GivenImages(items, tuple(class_names), channels)
    # For a single batch there is nothing to read ahead of.
    is_single = len(items) <= run.data.batch_size
    read = ReadOptions(prefetch_batches=0 if is_single else None)
    return Pipeline(source, np.arange(len(items), dtype=np.int64), run.data, read=read)
