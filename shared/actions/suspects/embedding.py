"""The embeddings of images by a finished run, in the framework that trained it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.base import Indices
from poc.shared.engine.console.work_count import Report, WorkCount, noting
from poc.shared.engine.trained_run import TrainedRun, open_trained
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.resolved import declare_network

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Embedding:
    """A trained network that embeds the images of its data, as evaluation shows them.

    Attributes:
        trained: The run, with its data and weights.
        worker: Process of its framework.
    """

    trained: TrainedRun
    worker: Worker

    @cached_property
    def tap(self) -> str:
        """Return the name of the map before the last layer."""
        return declare_network(self.trained.run).embedding

    def batches(self, indices: Indices, told: Callable[[int], None]) -> Iterator[Features]:
        """Yield the embeddings (k, F) of images in their order, means over several crops.

        Args:
            indices: (n,) int64 positions in the source.
            told: Called with the number of images so far.
        """
        run, done = self.trained.run, 0
        with closing_pipeline(self.trained, indices) as pipeline:
            for batch in pipeline.epoch(0):
                found = self.worker.call(
                    Operations.features,
                    run=run.model_dump(mode="json"),
                    weights=self.trained.weights,
                    images=batch.images,
                    taps=[self.tap],
                )
                done += len(batch.labels)
                told(done)
                values = found[self.tap].reshape(len(batch.labels), pipeline.num_views, -1)
                yield values.mean(axis=1)

    def features(self, indices: Indices, report: Report, text: str) -> Features:
        """Return the embeddings (n, F) of images, with progress under `text`."""
        count = WorkCount(report, text, len(indices))
        return np.concatenate(list(self.batches(indices, count)))


@contextmanager
def closing_pipeline(trained: TrainedRun, indices: Indices) -> Iterator[Pipeline]:
    """Open a pipeline of the images at positions (n,), and end its processes after use."""
    pipeline = Pipeline(trained.data.source, indices, trained.run.data)
    try:
        yield pipeline
    finally:
        pipeline.close()


@contextmanager
def open_embedding(folder: Path, report: Report, data: str | None = None) -> Iterator[Embedding]:
    """Open a run and start its framework.

    Args:
        folder: Run folder.
        report: Called with progress events, and with each difference from the run.
        data: Present place of its data; None for the recorded one.

    Raises:
        UsageError: As `open_trained`.
    """
    trained = open_trained(folder, data=data, note=noting(report))
    WorkCount(report, f"starting {trained.run.backend}")
    with trained.data, Worker(trained.run.backend) as worker:
        yield Embedding(trained, worker)
