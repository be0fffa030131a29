"""Batches for the parity ladder: real images, resized if needed, with faint noise."""

from collections.abc import Iterator, Sequence

import numpy as np

from poc.shared.engine.numerics.resizing import resize_matrices
from poc.shared.engine.worker.operations import BatchArrays

Batch = BatchArrays
# Standard deviation of the noise over that of the images.
DITHER = 0.05
# Noises that are tried in float32 until one keeps all units off their kinks.
NUM_PROBES = 12
# Examples per batch in float32: with fewer examples, fewer units are near a kink.
NUM_PROBED = 16


def prepare(batches: Sequence[Batch], shape: tuple[int, ...], precision: str) -> list[Batch]:
    """Resize the batches for a stage; in float32 keep no more examples than can be judged.

    Args:
        batches: Images (N, H, W, C) float32 and labels (N,).
        shape: (height, width, channels) of the network's input.
        precision: Precision of the run.
    """
    fitted = [fit(batch, shape) for batch in batches]
    if precision != "float32":
        return fitted
    return [
        {"images": batch["images"][:NUM_PROBED], "labels": batch["labels"][:NUM_PROBED]}
        for batch in fitted
    ]


def fit(batch: Batch, shape: tuple[int, ...]) -> Batch:
    """Resize the images (N, H, W, C) of a batch to `shape`, if they differ from it."""
    matrices = resize_matrices(batch["images"].shape[1:3], shape)
    if matrices is None:
        return batch
    rows, columns = matrices
    images = np.einsum("hi,wj,nijc->nhwc", rows, columns, batch["images"], optimize=True)
    return {**batch, "images": images.astype(np.float32)}


def make_uneven(batches: Sequence[Batch]) -> list[Batch]:
    """Cut batches so that their parts are not alike: an odd number of examples, at last a single.

    A process of several then has more examples than another, and of the last batch some have none.

    Args:
        batches: Images (N, H, W, C) float32 and labels (N,), or soft ones (N, num_classes).
    """
    sizes = [(len(batch["images"]) - 1) | 1 for batch in batches[:-1]] + [1]
    return [
        {"images": batch["images"][:size], "labels": batch["labels"][:size]}
        for batch, size in zip(batches, sizes, strict=True)
    ]


def draw_probes(batches: Sequence[Batch], seed: int, precision: str) -> Iterator[list[Batch]]:
    """Yield the batches with one noise after another; float64 needs no second one."""
    for probe in range(NUM_PROBES if precision == "float32" else 1):
        first = len(batches) * probe
        yield [dither(batch, seed, first + index) for index, batch in enumerate(batches)]


def dither(batch: Batch, seed: int, index: int) -> Batch:
    """Add faint noise to the images (N, H, W, C) of a batch.

    Plain backgrounds make exact ties in max-pools. There the gradient is not defined, and the last
    bit of a sum decides which pixel gets it.
    """
    images = batch["images"]
    generator = np.random.default_rng([seed, index])
    noise = generator.normal(0.0, DITHER * float(images.std()), images.shape)
    return {**batch, "images": (images + noise).astype(np.float32)}
