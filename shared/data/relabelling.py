"""Classes that file names carry beside their folders, such as the kind of a pneumonia."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

from .inspection import Note, ignore
from .source import Indices, Labels, Pixels, Source
from .sources import open_source


class RelabelledSource(Source):
    """Another source's images, some of them in classes that their ids name."""

    def __init__(self, source: Source, pattern: str) -> None:
        """Look for the pattern in every id; an example without a match keeps its class.

        Raises:
            UsageError: It is found nowhere, or leaves fewer than two classes.
        """
        found = [re.search(pattern, text) for text in source.ids]
        if not any(found):
            raise UsageError(
                f"received data.class_pattern={pattern!r}, which no example's id holds (the first "
                f"is {source.ids[0]!r}); correct it"
            )
        classes = [
            match[match.re.groups and 1] if match else source.class_names[label]
            for match, label in zip(found, source.labels, strict=True)
        ]
        self.class_names = tuple(sorted(set(classes)))
        if len(self.class_names) < 2:
            raise UsageError(
                f"received data.class_pattern={pattern!r}, which puts every example into "
                f"{self.class_names[0]!r}; allowed are at least 2 classes: correct it"
            )
        position = {name: index for index, name in enumerate(self.class_names)}
        self._labels = np.array([position[name] for name in classes], dtype=np.int64)
        self._source = source
        self.name, self.ids, self.partitions = source.name, source.ids, source.partitions
        self.image_shape, self.image_sizes = source.image_shape, source.image_sizes
        self.is_encoded, self.unreadable = source.is_encoded, source.unreadable
        self.empty_classes, self.ignored = source.empty_classes, source.ignored
        self.loops, self.unused, self.remarks = source.loops, source.unused, source.remarks

    @property
    def labels(self) -> Labels:
        """(n,) int64."""
        return self._labels

    def image(self, index: int) -> Pixels:
        """One image: (H, W, C) uint8."""
        return self._source.image(index)

    def images(self, indices: Indices) -> Pixels:
        """Images at these positions: (k, H, W, C) uint8."""
        return self._source.images(indices)

    @cached_property
    def digests(self) -> Sequence[str]:
        """One hash an example, over its content alone."""
        return self._source.digests

    def contents(self) -> Iterable[bytes]:
        """What stands for each image in the fingerprint."""
        return self._source.contents()


def open_classes(spec: DataSpec, note: Note = ignore) -> Source:
    """The source that a run trains on, its classes as the run wants them.

    Raises:
        UsageError: It cannot be read, or the pattern of the classes does not fit.
    """
    source = open_source(spec.source, on_error=spec.on_error, note=note)
    return RelabelledSource(source, spec.class_pattern) if spec.class_pattern else source
