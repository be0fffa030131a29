"""Sources held in memory: the embedded set and `npz:PATH`."""

from collections.abc import Iterable, Mapping
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array, Arrays

from .base import PARTITIONS, Indices, Labels, Pixels, Source, consecutive, example_ids
from .npz import read_archive

Part = tuple[Pixels, Labels]


class ArraySource(Source):
    """Images of one shape in one array."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, Part],
        *,
        class_names: tuple[str, ...] | None = None,
        is_partitioned: bool = True,
    ) -> None:
        """Check and join the parts.

        Args:
            name: Text that the source was opened with.
            parts: Part name -> images (k, H, W) or (k, H, W, C) uint8, labels (k,) integers.
            class_names: One per class; None uses the labels as text.
            is_partitioned: False if the parts are no published split.

        Raises:
            UsageError: The shapes, types or labels do not fit together.
        """
        checked = {part: check_part(name, part, *arrays) for part, arrays in parts.items()}
        if len({images.shape[1:] for images, _ in checked.values()}) > 1:
            shapes = {part: images.shape[1:] for part, (images, _) in checked.items()}
            raise UsageError(
                f"Got image shapes {shapes} in {name!r}. Expected one shape (H, W, C). Try "
                "resizing the images before you store them."
            )
        counts = {part: len(labels) for part, (_, labels) in checked.items()}
        self.name = name
        self.ids = tuple(text for part in counts for text in example_ids(part, counts[part]))
        self.partitions = consecutive(counts) if is_partitioned else {}
        self._pixels = np.concatenate([images for images, _ in checked.values()])
        self._labels = np.concatenate([labels for _, labels in checked.values()])
        height, width, channels = self._pixels.shape[1:]
        self.image_shape = (height, width, channels)
        self.class_names = name_classes(name, self._labels, class_names)

    @property
    def labels(self) -> Labels:
        """Return the labels: (n,) int64."""
        return self._labels

    def image(self, index: int) -> Pixels:
        """Return one image: (H, W, C) uint8."""
        image: Pixels = self._pixels[index]
        return image

    def images(self, indices: Indices) -> Pixels:
        """Gather the images at these positions in one call: (k, H, W, C) uint8."""
        return np.take(self._pixels, indices, axis=0)

    def contents(self) -> Iterable[bytes]:
        """Yield the shape and the pixels of all images at once."""
        yield repr(self._pixels.shape).encode()
        yield self._pixels.tobytes()


def check_part(name: str, part: str, images: Array, labels: Array) -> Part:
    """Check one part, and return images (k, H, W, C) uint8 and labels (k,) int64.

    Raises:
        UsageError: The shapes or types are others, or there is no image.
    """
    where = f"for {part!r} in {name!r}"
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise UsageError(
            f"Got images of shape {images.shape} and type {images.dtype} {where}. Expected "
            "uint8 of shape (n, H, W), (n, H, W, 1) or (n, H, W, 3). Try converting them."
        )
    if not images.size:
        raise UsageError(
            f"Got images of shape {images.shape} {where}. Expected at least one image of at "
            "least one pixel. Try leaving empty parts out."
        )
    # Keras's CIFAR sets, for example, have labels of the shape (n, 1).
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu":
        raise UsageError(
            f"Got labels of shape {labels.shape} and type {labels.dtype} {where}. Expected "
            f"integers of shape ({len(images)},), one per image. Try converting them."
        )
    return images.astype(np.uint8, copy=False), labels.reshape(-1).astype(np.int64)


def name_classes(name: str, labels: Labels, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the given class names, or the labels from 0 to the largest one as text.

    Args:
        name: Text that the source was opened with.
        labels: (n,) int64.
        class_names: One per class, or None.

    Raises:
        UsageError: A label is below 0 or has no class.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    # A file with more classes than examples holds something other than class labels.
    limit = len(labels) if class_names is None else len(class_names)
    if lowest < 0 or highest >= limit:
        raise UsageError(
            f"Got labels from {lowest} to {highest} in {name!r}. Expected 0 to "
            f"{limit - 1}. Try numbering the classes from 0 without gaps."
        )
    return class_names or tuple(str(label) for label in range(highest + 1))


def open_embedded(name: str) -> ArraySource:
    """Open the cut of Fashion-MNIST in the package (`embedded/PROVENANCE.md`)."""
    # `as_file` because an installed package may be inside a zip file.
    with as_file(files("poc.shared.data.sources.embedded") / "fashion_mnist.npz") as path:
        return open_npz(name, path)


def open_npz(name: str, path: Path) -> ArraySource:
    """Open an npz file of `train_images`, `train_labels` (also val, test), or `images`, `labels`.

    An optional `class_names` array of text names the classes. Nothing pickled is ever loaded.

    Raises:
        UsageError: The file is missing, damaged or holds other arrays.
    """
    arrays = read_npz(name, path)
    names = arrays.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise UsageError(
            f"Got class_names of shape {names.shape} and type {names.dtype} in {name!r}. "
            "Expected a list of text. Try storing it with np.array(names)."
        )
    class_names = None if names is None else tuple(str(text) for text in names)
    if "train_images" not in arrays and {"images", "labels"} <= arrays.keys():
        parts = {"all": (arrays["images"], arrays["labels"])}
        return ArraySource(name, parts, class_names=class_names, is_partitioned=False)
    return ArraySource(name, select_parts(name, arrays), class_names=class_names)


def select_parts(name: str, arrays: Arrays) -> dict[str, Part]:
    """Return the published parts of an npz file: name -> images and labels, not yet checked.

    Args:
        name: Text that the source was opened with.
        arrays: Name -> array (…), as stored.

    Returns:
        Part -> the arrays of its images and of its labels, as stored. `check_part` accepts images
        (k, H, W) or (k, H, W, C) and labels (k,) or (k, 1).

    Raises:
        UsageError: The train part is missing, or a part has images and no labels.
    """
    present = [part for part in PARTITIONS if f"{part}_images" in arrays]
    missing = [part for part in present if f"{part}_labels" not in arrays]
    if "train" not in present or missing:
        raise UsageError(
            f"Got the arrays {sorted(arrays)} in {name!r}. Expected train_images with "
            "train_labels (also val_, test_) or images with labels. Try renaming them."
        )
    return {part: (arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in present}


def read_npz(name: str, path: Path) -> Arrays:
    """Read all arrays of an npz file completely, so that damage is found here.

    Returns:
        Name -> array (…), of the stored shape.

    Raises:
        UsageError: The file is missing or damaged.
    """
    if not path.is_file():
        raise UsageError(
            f"Got {name!r}, but there is no file {str(path)!r}. Expected the path of an npz "
            "file. Try correcting the path."
        )
    try:
        return read_archive(path)
    except ValueError as error:
        raise UsageError(
            f"Got {name!r}, which cannot be read as npz ({error}). "
            "Expected an undamaged file of plain arrays written by np.savez. Try writing it again."
        ) from None
