"""Logits of a part of the data, one row per example."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Batch, Pipeline
from poc.shared.engine.backend import Trainer
from poc.shared.engine.console.work_count import WorkCount
from poc.shared.engine.numerics.metrics import average_views, classification_metrics
from poc.shared.spec.training.accumulation import batch_sizes

from .output_cache import KeptOutputs
from .supervision import Supervision


def evaluate(
    trainer: Trainer,
    pipeline: Pipeline,
    kept: KeptOutputs | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return logits (N, num_classes) and labels (N,) of a part, in its own order.

    If an example has several crops, its logits are their average, or the logarithm of their average
    softmax. Values of a frozen part that are `kept` are computed once. After every batch, `told` is
    called with the number of examples so far.
    """
    logits, labels, done = [], [], 0
    is_whole = kept is not None and kept.is_whole
    # Reading labels alone saves decoding: with all values kept, no image is needed.
    for batch in pipeline.labelled(0) if is_whole else pipeline.epoch(0):
        crops = evaluate_batch(trainer, batch, kept)
        logits.append(average_views(crops, pipeline.num_views, pipeline.average))
        labels.append(batch.labels)
        done += len(batch.labels)
        told(done)
    return np.concatenate(logits), np.concatenate(labels)


def evaluate_watched(
    supervision: Supervision, trainer: Trainer, pipeline: Pipeline, kept: KeptOutputs | None = None
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Call `evaluate` with progress reports, and stop between two batches if asked to.

    Returns:
        Logits (N, num_classes) and labels (N,).
    """
    count = WorkCount(supervision.report, "evaluation", pipeline.examples)

    def tell(done: int) -> None:
        # Ranks stop together, after a step; one that stopped here would leave the others waiting.
        if pipeline.shard.count == 1:
            supervision.interruption.check()
        count(done)

    return evaluate(trainer, pipeline, kept, tell)


def judge_validation(
    supervision: Supervision, trainer: Trainer, val: Pipeline | None, kept: KeptOutputs | None
) -> dict[str, float]:
    """Return the metrics of the validation part as `val/…`; {} if there is none."""
    if val is None:
        return {}
    found = evaluate_watched(supervision, trainer, val, kept)
    sizes = batch_sizes(val.examples, val.batch_size, val.num_batches)
    found = supervision.ranks.gather(found, sizes)
    return {f"val/{name}": value for name, value in classification_metrics(*found).items()}


def evaluate_batch(
    trainer: Trainer, batch: Batch, kept: KeptOutputs | None
) -> NDArray[np.floating]:
    """Return logits (N * num_views, num_classes) of one batch."""
    if kept is None:
        return trainer.logits(batch.images)
    extras = kept.look_up(batch.indices, batch.images, trainer.teacher_outputs)
    # Images of height and width 0 still carry the batch size, and cost nothing to hand over.
    return trainer.logits(batch.images[:, :0, :0], extras)
