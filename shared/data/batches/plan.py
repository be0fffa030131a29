"""How the batches of a pipeline are planned and read.

A plan gives the examples of each batch of each epoch; a reader turns positions into pixels; Grain
runs readers ahead, in a thread or in worker processes. Each record of Grain is an entire batch, of
all epochs in a row, because its cost is per record and its processes take a second to start.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Labels, Pixels
from poc.shared.data.views.mixing import Mix, draw_mix, is_mixing
from poc.shared.data.views.normalization import Images
from poc.shared.data.views.view import Augment, augment_images, example_generator
from poc.shared.spec.views import TrainView

from .image_cache import Kept

# More batches than any run takes: a stream of batches that workers read has no end of its own.
ENDLESS = 1 << 40
SECONDS_BETWEEN_LOOKS = 1.0


class Batch(NamedTuple):
    """One step's examples.

    Attributes:
        images: (N, H, W, C) float32; with five or ten crops (N * crops, H, W, C), those of one
            example together.
        labels: (N,) int64; (N, num_classes) if an example may have any number of labels.
        indices: (N,) int64 positions in the source.
        targets: (N, num_classes) float32; None unless images were mixed.
    """

    images: Images
    labels: Labels
    indices: Indices
    targets: NDArray[np.float32] | None = None

    @property
    def learned(self) -> Labels | NDArray[np.float32]:
        """Return the targets (N, num_classes) of a step, or the labels (N,) if none were mixed."""
        if self.targets is not None:
            return self.targets
        # Any number of labels are targets of their own, and meet the logits in one product.
        return self.labels if self.labels.ndim == 1 else self.labels.astype(np.float32)


@dataclass(frozen=True)
class Shard:
    """The share of every batch that a process of a data-parallel run reads."""

    index: int = 0
    count: int = 1


class Part(NamedTuple):
    """The examples of one batch that one process reads.

    Attributes:
        positions: (N,) int64, its examples.
        partners: (N,) int64, the examples that they are mixed with; none: nothing is mixed.
        mix: The draw for the full batch, over all processes.
    """

    positions: Indices
    partners: Indices | None = None
    mix: Mix | None = None

    @property
    def needed(self) -> Indices:
        """Return the positions (k,) to read, each once."""
        if self.partners is None:
            return self.positions
        return np.unique(np.concatenate([self.positions, self.partners]))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of the examples in every epoch: a pure function of (seed, epoch, step).

    Attributes:
        num_examples: Examples of the part.
        num_batches: Batches of an epoch.
        batch_size: Examples per batch, over all shards.
        seed: Keys order and mixing together with the epoch.
        is_training: False: every epoch is the same, in the order of the part.
        is_shuffled: A new order in every epoch.
        view: Says whether batches are mixed.
        size: (height, width) of the images.
        shard: The share of this process.
    """

    num_examples: int
    num_batches: int
    batch_size: int
    seed: int
    is_training: bool
    is_shuffled: bool
    view: TrainView
    size: tuple[int, int]
    shard: Shard

    def order(self, epoch: int) -> Indices:
        """Return the positions (k,) int64 in the order of this epoch."""
        if not self.is_shuffled:
            return np.arange(self.num_examples, dtype=np.int64)
        return shuffled(self.seed, epoch, self.num_examples)

    def part(self, epoch: int, step: int) -> Part:
        """Return the examples of a batch that this process reads: positions (N,) int64."""
        start = step * self.batch_size
        # Every process draws the full order and mix, so that shards change no example.
        batch = self.order(epoch)[start : start + self.batch_size]
        own = np.array_split(np.arange(len(batch)), self.shard.count)[self.shard.index]
        if not (self.is_training and is_mixing(self.view)):
            return Part(batch[own])
        mix = draw_mix(self.view, self.size, len(batch), (self.seed, epoch, step))
        return Part(batch[own], batch[mix.partners[own]], mix)


@lru_cache(maxsize=4)
def shuffled(seed: int, epoch: int, count: int) -> Indices:
    """Return a permutation (count,) int64 of the positions, keyed by (seed, epoch)."""
    key = np.random.SeedSequence([seed, epoch])
    order = np.random.Generator(np.random.Philox(key)).permutation(count)
    # The cache hands the same array to every caller.
    order.setflags(write=False)
    return order


class Reader(Protocol):
    """Positions of one epoch -> pixels (N, H, W, C), uint8, or float32 when normalised already."""

    def __call__(self, positions: Indices, epoch: int) -> Pixels | Images:
        """Read."""


@dataclass(frozen=True, eq=False)
class NormalizedReader:
    """Images kept in memory as the model sees them: (k, H, W, C) float32."""

    kept: Images

    def __call__(self, positions: Indices, epoch: int) -> Images:
        """A new array."""
        return np.take(self.kept, positions, axis=0)


@dataclass(frozen=True, eq=False)
class ViewReader:
    """Kept or source images, and what the view does to them in every epoch.

    Attributes:
        kept: Position -> base image.
        ids: Of each position: keys the random numbers.
        augment: The second half of the view.
        seed: Keys them too.
    """

    kept: Kept
    ids: Sequence[str]
    augment: Augment
    seed: int

    def __call__(self, positions: Indices, epoch: int) -> Pixels:
        """(N * num_views, H, W, c) uint8."""
        images = self.kept.gather(positions)
        if not self.augment.is_nothing:
            generators = [
                example_generator(self.seed, epoch, self.ids[position]) for position in positions
            ]
            return augment_images(images, self.augment, generators)
        return images if isinstance(images, np.ndarray) else np.stack(images)


@dataclass(frozen=True, eq=False)
class Records:
    """Batches in a row, over epochs, as the random-access source that Grain reads.

    Attributes:
        read: Positions -> pixels.
        plan: Batch -> positions.
        first: Number of the first batch, counted over epochs.
        count: Batches from there on.
    """

    read: Reader
    plan: Plan
    first: int
    count: int = ENDLESS

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, record: int) -> Pixels | Images:
        epoch, step = divmod(self.first + record, self.plan.num_batches)
        epoch = epoch if self.plan.is_training else 0
        return self.read(self.plan.part(epoch, step).needed, epoch)


def open_stream(records: Records, prefetch_batches: int, num_workers: int) -> Any:
    """Read records ahead, in order; return an iterator with `close()`.

    Args:
        records: The batches to read.
        prefetch_batches: Batches that a thread prepares ahead.
        num_workers: Processes that prepare batches; 0: a thread of this one.
    """
    grain = import_grain()
    threads = grain.ReadOptions(
        num_threads=min(prefetch_batches, 1), prefetch_buffer_size=prefetch_batches
    )
    batches = grain.MapDataset.source(records).to_iter_dataset(threads)
    if num_workers:
        batches = batches.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2),
            partial(end_with_parent, os.getpid()),
        )
    return iter(batches)


def end_with_parent(parent: int, index: int, count: int) -> None:
    """Called in each process that reads: it ends soon after `parent`, which started it.

    One that is killed cannot end its children, which would wait for ever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def count_batches(num_examples: int, batch_size: int, *, is_rest_dropped: bool) -> tuple[int, int]:
    """(examples, batches) of an epoch."""
    examples = num_examples - (num_examples % batch_size if is_rest_dropped else 0)
    return examples, math.ceil(examples / batch_size)


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


Stream = Iterator[Any]
