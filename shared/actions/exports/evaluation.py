"""Evaluation images and a trained network's answers to them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.console.work_count import Report, WorkCount, unheard
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.numerics.metrics import average_views
from poc.shared.engine.run_data import RunData
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.run import RunSpec

NUM_IMAGES = 512


class Evaluation(NamedTuple):
    """Images that check a file, and the answers of the trained network.

    `images` (N * views, H, W, C), `labels` (N,), `logits` (N * views, num_classes).
    """

    pipeline: Pipeline
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    logits: NDArray[np.floating]

    def hits(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return (N,) bool: true where these logits, (N * views, C), give the right class."""
        answers = average_views(logits, self.pipeline.num_views, self.pipeline.average)
        return right_answers(answers, self.labels)


def evaluate_trained(
    run: RunSpec, weights: Weights, data: RunData, num_images: int, report: Report = unheard
) -> Evaluation:
    """Compute logits (N * views, num_classes) of evaluation images in the run's own backend."""
    pipeline = data.test or data.val or data.train
    images, labels, logits, left = [], [], [], num_images
    WorkCount(report, f"starting {run.backend}")
    with Worker(run.backend) as worker:
        total = min(num_images, pipeline.examples)
        count = WorkCount(report, "computing images as they were trained", total)
        for batch in pipeline.epoch(0):
            taken = min(left, len(batch.labels))
            images.append(batch.images[: taken * pipeline.num_views])
            labels.append(batch.labels[:taken])
            spec = run.model_dump(mode="json")
            logits.append(
                worker.call(Operations.logits, run=spec, weights=weights, images=images[-1])
            )
            left -= taken
            count(num_images - left)
            if not left:
                break
    parts = (np.concatenate(part) for part in (images, labels, logits))
    return Evaluation(pipeline, *parts)
