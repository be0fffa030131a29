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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Labels, Pixels
from poc.shared.data.views.mixing import Mix, draw_mix, is_mixing
from poc.shared.data.views.normalization import Images
from poc.shared.data.views.view import Augment, augment_images, example_generator
from poc.shared.errors import UsageError
from poc.shared.spec.views import TrainView

from .image_cache import Kept
from .sampling import ClassMembers, Draws, balanced, in_order, shuffled
from .shard import Shard

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
        # Sets of labels are targets of their own, and meet the logits in one product.
        return self.labels if self.labels.ndim == 1 else self.labels.astype(np.float32)


class Part(NamedTuple):
    """The examples of one batch that one process reads.

    Attributes:
        batch: The full batch, over all processes.
        own: (N,) int64, places in the batch of this process's examples, or of a stand-in.
        partners: (N,) int64, places of the examples that they are mixed with; none: nothing is
            mixed.
        mix: The draw for the full batch.
    """

    batch: Draws
    own: Indices
    partners: Indices | None = None
    mix: Mix | None = None

    @property
    def positions(self) -> Indices:
        """Return the positions (N,) of this process's examples."""
        return self.batch.positions[self.own]

    @property
    def places(self) -> Indices:
        """Return the places (k,) of the batch to read, each once and in order."""
        if self.partners is None:
            return self.own
        return np.unique(np.concatenate([self.own, self.partners]))


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
        members: The examples of each class, for balanced draws; none: each example once.
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
    members: ClassMembers | None
    view: TrainView
    size: tuple[int, int]
    shard: Shard

    def draws(self, epoch: int) -> Draws:
        """Return the examples (k,) of this epoch, in order."""
        if self.members is not None:
            return balanced(self.seed, epoch, self.members)
        if self.is_shuffled:
            return shuffled(self.seed, epoch, self.num_examples)
        return in_order(self.num_examples)

    def part(self, epoch: int, step: int) -> Part:
        """Return the examples of a batch that this process reads: (N,) places and draws."""
        start = step * self.batch_size
        # Every process draws the full order and mix, so that shards change no example.
        batch = self.draws(epoch).take(slice(start, start + self.batch_size))
        size = len(batch.positions)
        own = self.shard.read(size)
        if not (self.is_training and is_mixing(self.view)):
            return Part(batch, own)
        mix = draw_mix(self.view, self.size, size, (self.seed, epoch, step))
        return Part(batch, own, mix.partners[own], mix)


class Reader(Protocol):
    """Draws of one epoch -> pixels (N, H, W, C), uint8, or float32 when normalised already."""

    def __call__(self, draws: Draws, epoch: int) -> Pixels | Images:
        """Read."""


@dataclass(frozen=True, eq=False)
class NormalizedReader:
    """Images kept in memory as the model sees them: (k, H, W, C) float32."""

    kept: Images

    def __call__(self, draws: Draws, epoch: int) -> Images:
        """A new array."""
        return np.take(self.kept, draws.positions, axis=0)


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

    def __call__(self, draws: Draws, epoch: int) -> Pixels:
        """(N * num_views, H, W, c) uint8."""
        images = self.kept.gather(draws.positions)
        if not self.augment.is_nothing:
            generators = [
                example_generator(self.seed, epoch, self.ids[position], int(repeat))
                for position, repeat in zip(*draws, strict=True)
            ]
            return augment_images(images, self.augment, generators)
        return images if isinstance(images, np.ndarray) else np.stack(images)


@dataclass(frozen=True, eq=False)
class Records:
    """Batches in a row, over epochs, as the random-access source that Grain reads.

    Attributes:
        read: Draws -> pixels.
        plan: Batch -> draws.
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
        return read_part(self.read, self.plan.part(epoch, step), epoch)


def read_part(read: Reader, part: Part, epoch: int) -> Pixels | Images:
    """Return the pixels (k, H, W, C) of the places of a batch that are needed."""
    return read(part.batch.take(part.places), epoch)


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


def check_batches(plan: Plan) -> None:
    """Refuse an epoch without a batch, and batches of fewer examples than there are processes.

    Raises:
        UsageError: See above.
    """
    if not plan.num_batches:
        raise UsageError(
            f"Got {plan.num_examples} examples for batches of {plan.batch_size}. Expected at least "
            "one batch. Try to lower data.batch_size or set data.drop_last=false."
        )
    if plan.batch_size < plan.shard.count:
        raise UsageError(
            f"Got data.batch_size={plan.batch_size} for {plan.shard.count} processes. Expected at "
            "least one example per process. Try a larger data.batch_size, or fewer processes."
        )


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
