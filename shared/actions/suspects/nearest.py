"""The training images that are nearest to test images, by the embedding of the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from poc.shared.analysis.gallery.answers import NO_LABEL
from poc.shared.analysis.gallery.neighbours import FindNeighbours, Neighbour, find_nearest
from poc.shared.data.sources.base import Source
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.shown_names import join_labels

from .embedding import open_embedding


def finder(report: Report) -> FindNeighbours:
    """Return the function that a gallery calls; each call starts the run's framework.

    Args:
        report: Called with progress events.
    """

    def find_neighbours(folder: Path, ids: Sequence[str]) -> Mapping[str, Neighbour]:
        with open_embedding(folder, report) as embedding:
            source, split = embedding.trained.data.source, embedding.trained.data.split
            position = {name: index for index, name in enumerate(source.ids)}
            chosen = np.array([position[name] for name in ids], dtype=np.int64)
            queries = embedding.features(chosen, report, "embedding test images")
            count = WorkCount(report, "embedding training images", len(split.train))
            places, cosines = find_nearest(queries, embedding.batches(split.train, count))
            return {
                name: Neighbour(
                    id=source.ids[split.train[place]],
                    truth=name_labels(source, int(split.train[place])),
                    similarity=float(cosine),
                )
                for name, place, cosine in zip(ids, places, cosines, strict=True)
            }

    return find_neighbours


def name_labels(source: Source, index: int) -> str:
    """Return the class of an image, or its labels, as text."""
    if not source.is_multi_label:
        return source.class_names[int(source.labels[index])]
    chosen = np.flatnonzero(source.labels[index])
    return join_labels(source.class_names[label] for label in chosen) or NO_LABEL
