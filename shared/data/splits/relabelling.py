"""Classes from file names instead of folders, such as the kind of a pneumonia."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from poc.shared.data.sources.base import Indices, Labels, Pixels, Source
from poc.shared.data.sources.inspection import Note, ignore
from poc.shared.data.sources.table import open_source
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

from .partition import group_of


class RelabelledSource(Source):
    """Another source's images under other classes, or under the same ones in another order."""

    def __init__(self, source: Source, class_names: Sequence[str], labels: Labels) -> None:
        """Copy all facts about the source except its classes.

        Args:
            source: Gives images, ids and published parts.
            class_names: One name per class.
            labels: (n,) int64 positions in `class_names`, or (n, num_classes) int64 of 0 and 1.
        """
        # By the annotations, so that a fact that `Source` gets later is copied too.
        for fact in Source.__annotations__:
            if hasattr(source, fact):
                setattr(self, fact, getattr(source, fact))
        self.class_names = tuple(class_names)
        self._labels, self._source = labels, source

    @property
    def labels(self) -> Labels:
        """Return the labels: (n,) int64."""
        return self._labels

    def image(self, index: int) -> Pixels:
        """Return one image: (H, W, C) uint8."""
        return self._source.image(index)

    def picture(self, index: int) -> Image.Image:
        """Return the same image as Pillow's object."""
        return self._source.picture(index)

    def file(self, index: int) -> Path | None:
        """Return the path of one image's file."""
        return self._source.file(index)

    def images(self, indices: Indices) -> Pixels:
        """Return the images at these positions: (k, H, W, C) uint8."""
        return self._source.images(indices)

    @cached_property
    def digests(self) -> Sequence[str]:
        """Return one hash per example, over its content alone."""
        return self._source.digests

    def contents(self) -> Iterable[bytes]:
        """Yield the bytes of each image that enter the fingerprint."""
        return self._source.contents()


def relabel(source: Source, pattern: str) -> RelabelledSource:
    """Search the pattern in every id; an example without a match keeps its class.

    The name of the class is found in the match as in `split.group_pattern`.

    Raises:
        UsageError: The pattern matches nowhere, or leaves fewer than two classes.
    """
    if source.is_multi_label:
        raise UsageError(
            f"Got data.class_pattern={pattern!r} for {source.name!r}, whose images have any number "
            "of labels. Expected no pattern with it. Try removing data.class_pattern."
        )
    found = [re.search(pattern, text) for text in source.ids]
    if not any(found):
        raise UsageError(
            f"Got data.class_pattern={pattern!r}, which no example's id holds (the first "
            f"is {source.ids[0]!r}). Expected a pattern that matches ids. Try correcting it."
        )
    classes = [
        group_of(match) if match else source.class_names[label]
        for match, label in zip(found, source.labels, strict=True)
    ]
    class_names = sorted(set(classes))
    if len(class_names) < 2:
        raise UsageError(
            f"Got data.class_pattern={pattern!r}, which puts every example into "
            f"{class_names[0]!r}. Expected at least 2 classes. Try correcting it."
        )
    position = {name: index for index, name in enumerate(class_names)}
    labels = np.array([position[name] for name in classes], dtype=np.int64)
    return RelabelledSource(source, class_names, labels)


def reorder_classes(source: Source, order: Sequence[int]) -> RelabelledSource:
    """Put the same classes into another order: the new class `i` was `order[i]`."""
    names = [source.class_names[old] for old in order]
    if source.is_multi_label:
        return RelabelledSource(source, names, source.labels[:, list(order)])
    # argsort of a permutation is its inverse: old label -> new label.
    return RelabelledSource(source, names, np.argsort(order).astype(np.int64)[source.labels])


def open_classes(spec: DataSpec, note: Note = ignore) -> Source:
    """Open the source that a run trains on, with the classes that the run wants.

    Raises:
        UsageError: The source cannot be read, or the pattern of the classes does not fit.
    """
    source = open_source(spec.source, on_error=spec.on_error, note=note, columns=spec.columns)
    return relabel(source, spec.class_pattern) if spec.class_pattern else source
