"""The interface of every image source: random access to labelled images, in any kind of storage."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poc.shared.errors import UsageError
from poc.shared.spec.columns import ColumnsSpec

Indices = NDArray[np.int64]
Parts = dict[str, Indices]
Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int]

PARTITIONS = ("train", "val", "test")


class Source(ABC):
    """A set of labelled images with random access.

    Attributes:
        name: Text that `open_source` was given.
        class_names: One name per class; the label is the position.
        ids: One stable, unique id per example, such as `train/000123`.
        partitions: The published parts, `train`, `val` and `test` where they exist -> (k,) int64
            positions. Empty when nothing is published.
        image_shape: (H, W, C) if every image has it, or else None.
        image_sizes: (n, 2) int64 heights and widths if they are known without decoding, or None.
        is_encoded: True if every access decodes the image again, so that keeping it saves time.
        unreadable: File -> reason why it was left out.
        empty_classes: Class folders that were left out.
        ignored: Files that are no images by their name.
        loops: Links that lead back to a folder that was read already.
        unused: Folders next to the parts' folders, which are not read.
        remarks: Sentences about the source that a run should print.
        columns: Columns of the CSV file that names the images; None for other sources.
        groups: Group of each example, such as its patient, that no split divides; None without.
    """

    name: str
    class_names: tuple[str, ...]
    ids: Sequence[str]
    partitions: Mapping[str, Indices]
    image_shape: Shape | None
    image_sizes: NDArray[np.int64] | None = None
    is_encoded: bool = False
    unreadable: Mapping[str, str] = MappingProxyType({})
    empty_classes: Sequence[str] = ()
    ignored: Sequence[str] = ()
    loops: Sequence[str] = ()
    unused: Sequence[str] = ()
    remarks: Sequence[str] = ()
    columns: ColumnsSpec | None = None
    groups: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """Return the labels: (n,) int64, each below the number of classes.

        If an example may have any number of labels: (n, num_classes) int64, 1 for each that it has.
        """

    @property
    def is_multi_label(self) -> bool:
        """Return whether an example may have any number of labels."""
        return self.labels.ndim == 2

    @cached_property
    def strata(self) -> Labels:
        """Number the sets of labels that occur: (n,) int64, equal for examples of equal labels."""
        if not self.is_multi_label:
            return self.labels
        numbers = np.unique(self.labels, axis=0, return_inverse=True)[1]
        # NumPy 2.0 alone gives them as a column.
        return numbers.reshape(-1).astype(np.int64)

    def count_classes(self, indices: Indices | None = None) -> NDArray[np.int64]:
        """Count the examples of each class, or of each label: (num_classes,) int64.

        Args:
            indices: (k,) int64 positions to count; None counts all.
        """
        labels = self.labels if indices is None else self.labels[indices]
        if labels.ndim == 2:
            return np.asarray(labels.sum(axis=0), dtype=np.int64)
        return np.bincount(labels, minlength=len(self.class_names))

    @abstractmethod
    def image(self, index: int) -> Pixels:
        """Return one image: (H, W, C) uint8."""

    def picture(self, index: int) -> Image.Image:
        """Return the same image as Pillow's object, for steps that Pillow does next."""
        return to_picture(self.image(index))

    def file(self, index: int) -> Path | None:
        """Return the path of one image's file; None if the source has no file per image."""
        return None

    def images(self, indices: Indices) -> Pixels:
        """Return the images at these positions: (k, H, W, C) uint8.

        Raises:
            UsageError: The images' shapes differ.
        """
        images = [self.image(int(index)) for index in indices]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise UsageError(
                f"Got images of different shapes, {min(shapes)} to {max(shapes)}, from "
                f"{self.name!r}. Expected one shape. Try setting data.image_size and data.channels."
            )
        return np.stack(images)

    @cached_property
    def fingerprint(self) -> str:
        """Compute the sha256 over class names, ids, labels and content, once per source."""
        digest = hashlib.sha256()
        for text in (*self.class_names, *self.ids):
            # The zero byte ends each text: otherwise "ab", "c" and "a", "bc" would be equal.
            digest.update(text.encode() + b"\0")
        # A fixed byte order and width, so that every machine gets the same fingerprint.
        digest.update(self.labels.astype("<i8").tobytes())
        for content in self.contents():
            digest.update(content)
        return digest.hexdigest()

    @cached_property
    def digests(self) -> Sequence[str]:
        """Compute one hash per example, over its content alone: equal for equal images."""
        # The shape goes in first: images of other shapes may have the same bytes.
        return [
            hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            for image in map(self.image, range(len(self)))
        ]

    def contents(self) -> Iterable[bytes]:
        """Yield the bytes of each image that enter the fingerprint: here its shape and pixels."""
        for index in range(len(self)):
            image = self.image(index)
            yield repr(image.shape).encode() + image.tobytes()


def to_picture(image: Pixels) -> Image.Image:
    """Turn an image, (H, W, C) uint8, into a picture of mode `L` or `RGB`."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_array(picture: Image.Image) -> Pixels:
    """Turn a picture into an image, (H, W, C) uint8."""
    pixels: NDArray[np.uint8] = np.asarray(picture)
    # Pillow gives grey pictures as (H, W); every image here has a channel axis.
    return pixels.reshape(*pixels.shape[:2], -1)


def example_ids(partition: str, count: int) -> tuple[str, ...]:
    """Return the ids `partition/000000` and so on."""
    # Leading zeros keep the order of the texts equal to the order of the positions.
    return tuple(f"{partition}/{index:06d}" for index in range(count))


def consecutive(counts: Mapping[str, int]) -> dict[str, Indices]:
    """Return the positions of partitions that follow one another: part -> (k,) int64."""
    ends = np.cumsum(list(counts.values()))
    return {
        partition: np.arange(end - count, end, dtype=np.int64)
        for (partition, count), end in zip(counts.items(), ends, strict=True)
    }
