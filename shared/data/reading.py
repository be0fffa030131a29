"""How Grain reads one epoch: records are whole batches, because Grain's cost is per record."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np

from poc.shared.spec.data import Normalization

from .preparation import Images, normalize, prepared_images
from .source import Indices, Labels, Pixels, Shape, Source


class Batch(NamedTuple):
    """One step's examples.

    Attributes:
        images: (N, H, W, C) float32.
        labels: (N,) int64.
        indices: (N,) int64 positions in the source.
    """

    images: Images
    labels: Labels
    indices: Indices


@dataclass(frozen=True, eq=False)
class ResidentImages:
    """Prepared images in memory.

    Attributes:
        kept: (k, H, W, C), float32 when normalised already, else uint8.
        normalization: Applied to what is still uint8.
    """

    kept: Images | Pixels
    normalization: Normalization

    def __call__(self, positions: Indices) -> Images:
        """Images at these positions: (N, H, W, C) float32, a new array."""
        taken: Any = np.take(self.kept, positions, axis=0)
        return taken if taken.dtype == np.float32 else normalize(taken, self.normalization)


@dataclass(frozen=True, eq=False)
class SourceImages:
    """Images read and prepared anew each time they are asked for.

    Attributes:
        source: Where they come from.
        indices: (k,) int64, position -> position in the source.
        shape: (H, W, C) that they are brought to.
        normalization: Applied last.
    """

    source: Source
    indices: Indices
    shape: Shape
    normalization: Normalization

    def __call__(self, positions: Indices) -> Images:
        """Images at these positions: (N, H, W, C) float32."""
        pixels = prepared_images(self.source, self.indices[positions], self.shape)
        return normalize(pixels, self.normalization)


@dataclass(frozen=True, eq=False)
class EpochRecords:
    """The batches of one epoch, as the random-access source that Grain reads.

    Attributes:
        read_images: Positions -> images.
        indices: (k,) int64, position -> position in the source.
        labels: (k,) int64.
        order: (k,) int64, which position stands where in this epoch.
        batch_size: Examples a batch.
        start_step: First batch that is read.
        num_batches: Batches of the whole epoch.
    """

    read_images: Callable[[Indices], Images]
    indices: Indices
    labels: Labels
    order: Indices
    batch_size: int
    start_step: int
    num_batches: int

    def __len__(self) -> int:
        return self.num_batches - self.start_step

    def __getitem__(self, record: int) -> Batch:
        start = (self.start_step + record) * self.batch_size
        positions = self.order[start : start + self.batch_size]
        return Batch(self.read_images(positions), self.labels[positions], self.indices[positions])


def read(records: EpochRecords, prefetch_batches: int, num_workers: int) -> Iterator[Batch]:
    """The batches in order, whoever prepares them.

    Args:
        records: One epoch.
        prefetch_batches: Batches that a thread prepares ahead; 0: each is made when asked for.
        num_workers: Processes that prepare batches; 0: this one.

    Yields:
        One batch a step.
    """
    grain = import_grain()
    dataset = grain.MapDataset.source(records)
    if not prefetch_batches and not num_workers:
        # Indexing, not iterating: Grain's iterator starts threads even for a buffer of none.
        yield from (dataset[record] for record in range(len(dataset)))
        return
    threads = grain.ReadOptions(
        num_threads=min(prefetch_batches, 1), prefetch_buffer_size=prefetch_batches
    )
    batches = dataset.to_iter_dataset(threads)
    if num_workers:
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
    iterator = iter(batches)
    try:
        yield from cast(Iterator[Batch], iterator)
    finally:
        # A run that stops in the middle of an epoch leaves no thread or process behind.
        iterator.close()


@cache
def import_grain() -> Any:
    """Grain, without its warning at import that JAX's profiler is missing."""
    from absl import logging as absl_logging  # grain's own logger, whose class absl sets

    logger = absl_logging.get_absl_logger()
    logger.addFilter(_is_news)
    try:
        import grain
    finally:
        logger.removeFilter(_is_news)
    return grain


def _is_news(record: logging.LogRecord) -> bool:
    return "jax profiler" not in str(record.msg)
