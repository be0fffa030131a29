"""The one batch pipeline: examples of a split -> batches, in the same order for both backends.

The order of an epoch is a permutation keyed by (seed, epoch) and nothing else, so neither a resume
nor the number of threads or processes changes a batch.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

from .preparation import Images, normalize, prepared_images, prepared_shape
from .reading import Batch, EpochRecords, ResidentImages, SourceImages, read
from .source import Indices, Pixels, Shape, Source

__all__ = ["RESIDENT_BYTES", "Batch", "Pipeline"]

RESIDENT_BYTES = 1 << 30
CHUNK_EXAMPLES = 256


class Pipeline:
    """Batches of some of a source's examples.

    Prepared images are kept in memory where they fit into `resident_bytes`, as normalised float32
    if possible, else as uint8; the first epoch then reads every example once. What does not fit is
    read and prepared again in every epoch.

    Attributes:
        source: Where images come from.
        indices: (k,) int64 positions in the source.
        num_batches: Batches of an epoch.
        examples: Examples of an epoch.
        image_shape: (H, W, C) of every image in a batch.
    """

    def __init__(
        self,
        source: Source,
        indices: Indices,
        spec: DataSpec,
        *,
        seed: int = 0,
        is_training: bool = False,
        prefetch_batches: int | None = None,
        resident_bytes: int = RESIDENT_BYTES,
    ) -> None:
        """Plan the batches; nothing is read yet.

        Args:
            source: Where images come from.
            indices: (k,) int64 positions in the source.
            spec: Batch size, image size, channels, normalisation, workers.
            seed: Keys the order together with the epoch.
            is_training: True: `spec.shuffle` and `spec.drop_last` apply. False: every example, in
                the order of `indices`.
            prefetch_batches: Batches that a thread prepares ahead; 0: none. None: 0 for data in
                memory, where a thread costs more than it gives, else 2.
            resident_bytes: Memory that the prepared images may take.

        Raises:
            UsageError: No batch comes out, or the images do not fit the settings.
        """
        self.source = source
        self.indices = indices
        self.image_shape: Shape = prepared_shape(source, spec)
        self._spec = spec
        self._seed = seed
        self._is_shuffled = is_training and spec.shuffle
        self._resident_bytes = resident_bytes
        self._prefetch_batches = prefetch_batches
        is_rest_dropped = is_training and spec.drop_last
        dropped = len(indices) % spec.batch_size if is_rest_dropped else 0
        self.examples = len(indices) - dropped
        self.num_batches = math.ceil(self.examples / spec.batch_size)
        if not self.num_batches:
            raise UsageError(
                f"received {len(indices)} examples for batches of {spec.batch_size}; allowed is at "
                "least one batch: lower data.batch_size or set data.drop_last=false"
            )

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on: each (at most `batch_size`, H, W, C).

        Raises:
            UsageError: `start_step` lies outside the epoch.
        """
        if not 0 <= start_step <= self.num_batches:
            raise UsageError(
                f"received start_step={start_step}; allowed is 0 to {self.num_batches}, the "
                "batches of an epoch: resume with the data settings that the run began with"
            )
        records = EpochRecords(
            self._read_images,
            self.indices,
            self.source.labels[self.indices],
            self.order(epoch),
            self._spec.batch_size,
            start_step,
            self.num_batches,
        )
        return read(records, self.prefetch_batches, self.num_workers)

    def order(self, epoch: int) -> Indices:
        """(k,) int64: which of `indices` stands where in this epoch."""
        if not self._is_shuffled:
            return np.arange(len(self.indices), dtype=np.int64)
        key = np.random.SeedSequence([self._seed, epoch])
        return np.random.Generator(np.random.Philox(key)).permutation(len(self.indices))

    @property
    def is_resident(self) -> bool:
        """Whether prepared images are kept in memory."""
        return self._count_bytes(np.uint8) <= self._resident_bytes

    @property
    def prefetch_batches(self) -> int:
        """Batches that a thread prepares ahead."""
        if self._prefetch_batches is not None:
            return self._prefetch_batches
        return 0 if self.is_resident else 2

    @property
    def num_workers(self) -> int:
        """Processes that prepare batches: none for data in memory, which they would only copy."""
        return 0 if self.is_resident else self._spec.num_workers

    @cached_property
    def _read_images(self) -> ResidentImages | SourceImages:
        normalization = self._spec.normalization
        if self.is_resident:
            return ResidentImages(self._prepare_all(), normalization)
        return SourceImages(self.source, self.indices, self.image_shape, normalization)

    def _prepare_all(self) -> Images | Pixels:
        """All images, (k, H, W, C): normalised float32 where that fits, else uint8."""
        is_float = self._count_bytes(np.float32) <= self._resident_bytes
        shape = (len(self.indices), *self.image_shape)
        kept: NDArray[Any] = np.empty(shape, dtype=np.float32 if is_float else np.uint8)
        # In pieces, so that no second copy of all images is ever held.
        for start in range(0, len(kept), CHUNK_EXAMPLES):
            piece = slice(start, start + CHUNK_EXAMPLES)
            pixels = prepared_images(self.source, self.indices[piece], self.image_shape)
            kept[piece] = normalize(pixels, self._spec.normalization) if is_float else pixels
        return kept

    def _count_bytes(self, dtype: type[np.generic]) -> int:
        return len(self.indices) * math.prod(self.image_shape) * int(np.dtype(dtype).itemsize)
