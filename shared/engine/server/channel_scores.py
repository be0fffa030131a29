"""The channel-selection statistic of a source over a run's training images."""

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
    source: Network,
    *,
    taps: Sequence[str],
    num_shards: int = 1,
) -> ChannelScores:
    """Scores of every channel of the source's `taps`, in one pass.

    Args:
        backend: Computes the maps.
        run: The run whose images and source these are.
        data: Its opened data.
        source: Its source's network.
        taps: Which maps.
        num_shards: Into how many parts the batches are counted before they are merged.

    Returns:
        `scores`: tap -> (C,); which labels had no image; how many images; and which data it was.
    """
    shards: list[Shard] = [{} for _ in range(num_shards)]
    num_labels, num_images = len(data.source.class_names), 0
    labels: list[NDArray[np.int64]] = []

    def batches() -> Iterator[NDArray[np.float32]]:
        for batch in Pipeline(data.source, data.split.train, run.spec.data).epoch(0):
            labels.append(batch.labels)
            yield batch.images

    maps = backend.map_batches(run, source, teacher_weights(run.spec, source), taps, batches())
    for index, found in enumerate(maps):
        add_all(shards[index % num_shards], found, labels[-1], num_labels)
        num_images += len(labels[-1])
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
    """All shards in the first."""
    first, *others = shards
    for other in others:
        for tap, statistic in other.items():
            first[tap].merge(statistic)
    return first
