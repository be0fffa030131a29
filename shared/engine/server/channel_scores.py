"""The channel-selection statistic of a teacher over a run's training images."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.backend import Backend
from poc.shared.engine.numerics.channel_statistics import ChannelStatistic, add_all
from poc.shared.engine.run_data import RunData
from poc.shared.engine.teacher import teacher_weights
from poc.shared.engine.worker.operations import ChannelScores
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun

Shard = dict[str, ChannelStatistic]


def measure_channel_scores(
    backend: Backend,
    run: ResolvedRun,
    data: RunData,
    teacher: Network,
    *,
    taps: Sequence[str],
    num_shards: int = 1,
) -> ChannelScores:
    """Score every channel of the teacher's `taps` in one pass over the images.

    Args:
        backend: Backend that computes the maps.
        run: Run whose images and teacher these are.
        data: Opened data of the run.
        teacher: Network of the run's teacher.
        taps: Names of the maps (N, H, W, C).
        num_shards: Number of parts that are counted separately and then merged.

    Returns:
        `scores`: tap -> (C,) float64, the labels without images, the number of images, and the
        fingerprints of the data.
    """
    shards: list[Shard] = [{} for _ in range(num_shards)]
    num_labels, num_images = len(data.source.class_names), 0
    labels: list[NDArray[np.int64]] = []

    # `map_batches` takes images alone, so the labels of the latest batch are kept here.
    def batches() -> Iterator[NDArray[np.float32]]:
        for batch in Pipeline(data.source, data.split.train, run.spec.data).epoch(0):
            labels.append(batch.labels)
            yield batch.images

    maps = backend.map_batches(run, teacher, teacher_weights(run.spec, teacher), taps, batches())
    for index, found in enumerate(maps):
        add_all(shards[index % num_shards], found, labels[-1], num_labels)
        num_images += len(labels[-1])
    # With fewer batches than shards, some have counted nothing.
    merged = merge([shard for shard in shards if shard])
    some = next(iter(merged.values()))
    return {
        "scores": {tap: statistic.scores() for tap, statistic in merged.items()},
        "labels_without_images": [int(i) for i in np.flatnonzero(some.counts == 0)],
        "num_images": num_images,
        "data": {
            "source_fingerprint": data.source.fingerprint,
            "split_fingerprint": data.split.fingerprint,
        },
    }


def merge(shards: Sequence[Shard]) -> Shard:
    """Merge all shards into the first one, and return it."""
    first, *others = shards
    for other in others:
        for tap, statistic in other.items():
            first[tap].merge(statistic)
    return first
