"""Batch pipeline: images per second alone, and its cost during training steps.

Run: python benchmarks/pipeline.py [--source idx:FOLDER] (about 20 s). Without a source the images
are 60,000 random ones of 28x28. The step is a NumPy matrix product on one core, which releases the
interpreter lock as a framework's step does. The exit code is 1 if the pipeline alone, with its
default settings, is below the promised rate.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

# One core for the step leaves one for the pipeline's thread. NumPy reads it when it is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline, ReadOptions
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.sources.table import Source, open_source
from poc.shared.spec.data import DataSpec

PROMISED_IMAGES_PER_SECOND = 300_000
NUM_EXAMPLES = 60_000
NUM_REPEATS = 7
BATCH_SIZE = 64
STEP_SIDE = 256

Runs = dict[str, Callable[[], None]]


def random_source() -> Source:
    """Return a source of 60,000 random images of 28x28, as in Fashion-MNIST's training part."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (NUM_EXAMPLES, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, NUM_EXAMPLES)
    return ArraySource("random", {"train": (images, labels)})


def make_pipelines(source: Source, prefetches: Iterable[int]) -> dict[str, Pipeline]:
    """Return pipelines with float32 and uint8 in memory, each with these prefetched batches."""
    indices = source.partitions["train"]
    float_bytes = 4 * len(indices) * math.prod(source.image_shape or (0,))
    return {
        f"{dtype} in memory, prefetch {prefetch}": Pipeline(
            source,
            indices,
            DataSpec(batch_size=BATCH_SIZE),
            is_training=True,
            read=ReadOptions(prefetch_batches=prefetch, resident_bytes=budget),
        )
        for dtype, budget in (("float32", float_bytes), ("uint8", float_bytes // 4))
        for prefetch in prefetches
    }


def gather(images: NDArray[np.float32], order: NDArray[np.int64]) -> Iterable[NDArray[np.float32]]:
    """Yield the same batches without Grain: the best that NumPy can do.

    Args:
        images: (N, H, W, C) or (N, H, W) float32.
        order: (N,) int64 indices of images.
    """
    for start in range(0, len(order), BATCH_SIZE):
        yield np.take(images, order[start : start + BATCH_SIZE], axis=0)


def drain(batches: Iterable[object]) -> None:
    """Take every batch and do nothing with it."""
    for _ in batches:
        pass


def train(batches: Iterable[object], matrix: NDArray[np.float32]) -> None:
    """Take every batch and compute as much as a training step; `matrix` is (S, S) float32."""
    product = np.empty_like(matrix)
    for _ in batches:
        np.matmul(matrix, matrix, out=product)


def drain_epoch(pipeline: Pipeline) -> None:
    """Take the batches of one epoch without steps."""
    drain(pipeline.epoch(0))


def train_epoch(pipeline: Pipeline, matrix: NDArray[np.float32]) -> None:
    """Take the batches of one epoch with a step per batch; `matrix` is (S, S) float32."""
    train(pipeline.epoch(0), matrix)


def measure(runs: Runs) -> dict[str, float]:
    """Return the median seconds of each run, in turns: a busy moment then affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(NUM_REPEATS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            # The first turn fills the memory and is not counted.
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(title: str, runs: Runs, num_images: int) -> dict[str, float]:
    """Print a table whose first row is the reference; return the images per second."""
    seconds = measure(runs)
    reference = next(iter(seconds.values()))
    print(f"\n{title:36} {'images/s':>12} {'time ratio':>11}")
    for name, value in seconds.items():
        print(f"{name:36} {num_images / value:12,.0f} {value / reference:11.2f}")
    return {name: num_images / value for name, value in seconds.items()}


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", help="any data source; default: random images")
    text = parser.parse_args().source
    source = open_source(text) if text else random_source()
    indices = source.partitions["train"]
    images = source.images(indices).astype(np.float32)
    order = make_pipelines(source, [0])["float32 in memory, prefetch 0"].order(0)

    alone: Runs = {"bare NumPy gather": lambda: drain(gather(images, order))}
    for name, pipeline in make_pipelines(source, [0, 2]).items():
        alone[name] = partial(drain_epoch, pipeline)
    rates = report("pipeline alone", alone, len(indices))

    matrix = np.random.default_rng(0).random((STEP_SIDE, STEP_SIDE), dtype=np.float32)
    num_batches = math.ceil(len(indices) / BATCH_SIZE)
    beside: Runs = {"steps without batches": lambda: train(range(num_batches), matrix)}
    for name, pipeline in make_pipelines(source, [0, 1, 2]).items():
        beside[name] = partial(train_epoch, pipeline, matrix)
    report("pipeline during steps", beside, len(indices))

    ratio = rates["float32 in memory, prefetch 0"] / PROMISED_IMAGES_PER_SECOND
    print(f"\ndefault: {ratio:.2f} times the promised {PROMISED_IMAGES_PER_SECOND:,} images/s")
    return 0 if ratio >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
