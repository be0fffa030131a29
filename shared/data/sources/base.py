"""What every image source offers: random access to labelled images, whatever they are stored in."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from poc.shared.errors import UsageError

Indices = NDArray[np.int64]
Parts = dict[str, Indices]
Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int]

PARTITIONS = ("train", "val", "test")


class Source(ABC):
    """A set of labelled images with random access.

    Attributes:
        name: What `open_source` was given.
        class_names: One name a class; the label is the position.
        ids: One stable, unique id an example, such as `train/000123`.
        partitions: The published parts, `train`, `val` and `test` where they exist -> (k,) int64
            positions. Empty when nothing is published.
        image_shape: (H, W, C) when every image has it, else none.
        image_sizes: (n, 2) heights and widths where they are known without decoding, else none.
        is_encoded: Whether asking for an image decodes it, so that keeping it saves time.
        unreadable: File -> why it was left out.
        empty_classes: Class folders that were left out.
        ignored: Files that are no images by their name.
        loops: Links that lead back to a folder that was read already.
        unused: Folders beside the parts.
        remarks: What a run should tell about the source, one sentence each.
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

    def __len__(self) -> int:
        return len(self.ids)

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """(n,) int64, each below the number of classes."""

    @abstractmethod
    def image(self, index: int) -> Pixels:
        """One image: (H, W, C) uint8."""

    def picture(self, index: int) -> Image.Image:
        """The same image as Pillow holds it, for what Pillow does next."""
        return to_picture(self.image(index))

    def images(self, indices: Indices) -> Pixels:
        """Images at these positions: (k, H, W, C) uint8.

        Raises:
            UsageError: Their shapes differ.
        """
        images = [self.image(int(index)) for index in indices]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise UsageError(
                f"received images of different shapes, {min(shapes)} to {max(shapes)}, from "
                f"{self.name!r}; allowed is one shape: set data.image_size and data.channels"
            )
        return np.stack(images)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over class names, ids, labels and content; computed when first asked for."""
        digest = hashlib.sha256()
        for text in (*self.class_names, *self.ids):
            digest.update(text.encode() + b"\0")
        digest.update(self.labels.astype("<i8").tobytes())
        for content in self.contents():
            digest.update(content)
        return digest.hexdigest()

    @cached_property
    def digests(self) -> Sequence[str]:
        """One hash an example, over its content alone: equal for equal images."""
        return [
            hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            for image in map(self.image, range(len(self)))
        ]

    def contents(self) -> Iterable[bytes]:
        """What stands for each image in the fingerprint: here its shape and pixels."""
        for index in range(len(self)):
            image = self.image(index)
            yield repr(image.shape).encode() + image.tobytes()


def to_picture(image: Pixels) -> Image.Image:
    """(H, W, C) uint8 -> picture of mode `L` or `RGB`."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def to_array(picture: Image.Image) -> Pixels:
    """Picture -> (H, W, C) uint8."""
    pixels: NDArray[np.uint8] = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)


def example_ids(partition: str, count: int) -> tuple[str, ...]:
    """Ids `partition/000000` and so on; zeros keep text order equal to position order."""
    return tuple(f"{partition}/{index:06d}" for index in range(count))


def consecutive(counts: Mapping[str, int]) -> dict[str, Indices]:
    """Positions of partitions that lie one after the other."""
    ends = np.cumsum(list(counts.values()))
    return {
        partition: np.arange(end - count, end, dtype=np.int64)
        for (partition, count), end in zip(counts.items(), ends, strict=True)
    }
