"""The one batch pipeline: examples of a split -> batches, in the same order for both backends.

The order of an epoch, the view of each example and the mix of each batch depend on (seed, epoch,
example or batch) and nothing else, so neither a resume, nor a cache, nor the number of threads,
processes or shards changes a pixel.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Labels, Shape, Source
from poc.shared.data.views.normalization import convert_channels, normalize, prepared_shape
from poc.shared.data.views.view import plan_view
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

from .image_cache import (
    Kept,
    SourceImages,
    choose_place,
    count_bytes,
    keep_normalized,
    keep_on_disk,
)
from .pixel_store import StoredImages
from .plan import (
    Batch,
    NormalizedReader,
    Part,
    Plan,
    Reader,
    Records,
    ViewReader,
    check_batches,
    count_batches,
    open_stream,
    read_part,
)
from .sampling import group_classes
from .shard import WHOLE, Shard
from .shared_memory import batches_alive, require_room

__all__ = ["RESIDENT_BYTES", "WHOLE", "Batch", "Pipeline", "ReadOptions", "Shard"]

RESIDENT_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a pipeline reads; the batches are the same.

    Attributes:
        prefetch_batches: Batches that a thread prepares ahead; 0: none. None: 2, but 0 for
            data in memory, for which a thread costs more than it gains.
        resident_bytes: Memory that the kept images may take before the disk is used.
        shard: The share of every batch that this process reads.
    """

    prefetch_batches: int | None = None
    resident_bytes: int = RESIDENT_BYTES
    shard: Shard = WHOLE


READ_OPTIONS = ReadOptions()


class Pipeline:
    """Batches of some of a source's examples; may be used as a context manager.

    Attributes:
        source: Where images come from.
        indices: (k,) int64 positions in the source.
        num_batches: Batches of an epoch.
        examples: Examples of an epoch, over all shards.
        image_shape: (H, W, C) of every image in a batch.
        num_views: Images of one example: 1, or 5 or 10 crops.
        average: How the outputs of several crops become one: `softmax` or `logits`.
        shard: The share of every batch that this process reads.
        batch_size: Examples of a full batch, over all shards.
        place: Where decoded images are kept: `memory`, `disk` or `off`.
    """

    def __init__(
        self,
        source: Source,
        indices: Indices,
        spec: DataSpec,
        *,
        seed: int = 0,
        is_training: bool = False,
        read: ReadOptions = READ_OPTIONS,
    ) -> None:
        """Plan the batches; nothing is read yet.

        Args:
            source: Where images come from.
            indices: (k,) int64 positions in the source.
            spec: Batch size, views, caches, normalisation, workers.
            seed: Keys order, views and mixes together with the epoch.
            is_training: True: `train_view`, `sampling`, `shuffle` and `drop_last` apply. False:
                `eval_view`, every example once, in the order of `indices`.
            read: How.

        Raises:
            UsageError: No batch comes out, or the images or classes do not fit the settings.
        """
        self.source, self.indices = source, indices
        # No image of another part is read, not even to see its channels.
        example = int(indices[0]) if len(indices) else 0
        self.image_shape: Shape = prepared_shape(source, spec, example)
        channels = (source.image_shape or source.image(example).shape)[2]
        resize, self._augment = plan_view(spec, self.image_shape, channels, is_training=is_training)
        self.num_views = self._augment.num_views
        self.average = spec.eval_view.average
        self._images = SourceImages(source, indices, resize)
        self._spec, self._seed, self._read = spec, seed, read
        self.shard, self.batch_size = read.shard, spec.batch_size
        self.place = choose_place(
            self._images,
            spec,
            resident_bytes=read.resident_bytes,
            is_drawn=is_training and not self._augment.is_nothing,
        )
        self.examples, self.num_batches = count_batches(
            len(indices), spec.batch_size, is_rest_dropped=is_training and spec.drop_last
        )
        is_balanced = is_training and spec.sampling == "balanced"
        self._plan = Plan(
            num_examples=len(indices),
            num_batches=self.num_batches,
            batch_size=spec.batch_size,
            seed=seed,
            is_training=is_training,
            is_shuffled=is_training and spec.shuffle,
            members=group_classes(source, indices) if is_balanced else None,
            view=spec.train_view,
            size=self.image_shape[:2],
            shard=read.shard,
        )
        check_batches(self._plan)
        self._stream: tuple[int, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End worker processes; the pipeline may be used again."""
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on: each (at most `batch_size`, H, W, C).

        Raises:
            UsageError: `start_step` lies outside the epoch.
        """
        if not 0 <= start_step <= self.num_batches:
            raise UsageError(
                f"Got start_step={start_step}. Expected 0 to {self.num_batches}, the batches of an "
                "epoch. Try resuming with the data settings that the run began with."
            )
        epoch = epoch if self._plan.is_training else 0
        if not self.prefetch_batches and not self.num_workers:
            return self._read_now(epoch, start_step)
        return self._read_ahead(epoch, start_step)

    def labelled(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch without their pixels: images of height and width 0.

        For a reader that has kept what it needs of the images, none of which are mixed.
        """
        for step in range(start_step, self.num_batches):
            positions = self._plan.part(epoch if self._plan.is_training else 0, step).positions
            count, indices = len(positions) * self.num_views, self.indices[positions]
            nothing = np.empty((count, 0, 0, self.image_shape[2]), dtype=np.float32)
            yield Batch(nothing, self.source.labels[indices], indices)

    def batch_labels(self, epoch: int, step: int) -> Labels:
        """Return the labels (N,) of one batch of an epoch, over all shards; no image is read."""
        positions = self._plan.part(epoch, step).batch.positions
        return self.source.labels[self.indices[positions]]

    def order(self, epoch: int) -> Indices:
        """Return the positions (k,) int64 in `indices` that this epoch draws, in order."""
        return self._plan.draws(epoch).positions

    @property
    def is_resident(self) -> bool:
        """Say whether decoded images are kept in memory."""
        return self.place == "memory"

    @property
    def prefetch_batches(self) -> int:
        """Batches that a thread prepares ahead."""
        if self._read.prefetch_batches is not None:
            return self._read.prefetch_batches
        return 0 if self.is_resident else 2

    @property
    def num_workers(self) -> int:
        """Processes that prepare batches.

        None for data in memory, which they would only copy, and none for a mapped file whose images
        are already what the model sees.
        """
        is_ready = self.place == "disk" and self._augment.is_nothing
        return 0 if self.is_resident or is_ready else self._spec.num_workers

    def _read_now(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Each batch when it is asked for; iterating Grain would start threads even here."""
        for step in range(start_step, self.num_batches):
            part = self._plan.part(epoch, step)
            yield self._assemble(part, read_part(self._reader, part, epoch))

    def _read_ahead(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Batches that a thread or processes prepare.

        Processes read on into the next epoch and are taken up again there; a run that leaves an
        epoch in the middle leaves no thread or process behind.
        """
        first = epoch * self.num_batches + start_step
        stream = self._take_stream(first)
        is_whole = False
        try:
            for step in range(start_step, self.num_batches):
                yield self._assemble(self._plan.part(epoch, step), next(stream))
            is_whole = True
        finally:
            if is_whole and self.num_workers:
                following = (epoch + 1) * self.num_batches if self._plan.is_training else 0
                self._stream = (following, stream)
            else:
                stream.close()

    def _take_stream(self, first: int) -> Any:
        """Return the running stream if its next batch is `first`, or a new one."""
        if self._stream is not None and self._stream[0] == first:
            (_, stream), self._stream = self._stream, None
            return stream
        self.close()
        end = first - first % self.num_batches + self.num_batches
        records = Records(self._reader, self._plan, first)
        if not self.num_workers:
            records = Records(self._reader, self._plan, first, end - first)
        require_room(self._shared_bytes, self.num_workers, self._spec.batch_size)
        return open_stream(records, self.prefetch_batches, self.num_workers)

    def _shared_bytes(self, num_workers: int) -> int:
        """Shared memory that so many processes take."""
        images = min(self._spec.batch_size, self.examples) * self.num_views
        return images * math.prod(self.image_shape) * batches_alive(num_workers)

    def _assemble(self, part: Part, read: NDArray[Any]) -> Batch:
        """Normalise and mix what was read."""
        images = read
        if read.dtype != np.float32:
            pixels = convert_channels(read, self.image_shape[2])
            images = normalize(pixels, self._spec.normalization)
        indices = self.indices[part.positions]
        labels = self.source.labels[indices]
        if part.mix is None or part.partners is None:
            return Batch(images, labels, indices)
        partners = images[np.searchsorted(part.places, part.partners)]
        own = images[np.searchsorted(part.places, part.own)]
        others = self.source.labels[self.indices[part.batch.positions[part.partners]]]
        num_classes = len(self.source.class_names)
        targets = part.mix.targets(labels, others, num_classes)
        return Batch(part.mix.images(own, partners), labels, indices, targets)

    @cached_property
    def _reader(self) -> Reader:
        """Made when the first batch is asked for: this is where images are decoded and kept."""
        num_bytes = 4 * len(self.indices) * math.prod(self.image_shape)
        if self.is_resident and self._augment.is_nothing and num_bytes <= self._read.resident_bytes:
            return NormalizedReader(keep_normalized(self._images, self.image_shape, self._spec))
        ids = [self.source.ids[index] for index in self.indices]
        return ViewReader(self._keep(), ids, self._augment, self._seed)

    def _keep(self) -> Kept:
        """Decoded images where they are kept."""
        if self.place == "memory":
            return StoredImages.from_images(self._images, count_bytes(self._images) or 0)
        return keep_on_disk(self._images, self._spec) if self.place == "disk" else self._images
