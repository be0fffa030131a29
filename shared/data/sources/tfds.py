"""`tfds:NAME[:CONFIG]`: any image-classification set of tensorflow-datasets, without TensorFlow.

Reading goes through TFDS's random-access data sources, which are plain Python. Preparing a set
(download and conversion) may import TensorFlow, so it is never done here: the message names the
command.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from poc.shared.errors import UsageError

from .base import Labels, Pixels, Shape, Source, consecutive, example_ids

FILE_FORMAT = "array_record"
PART_NAMES = {"train": "train", "validation": "val", "val": "val", "test": "test"}


class TfdsSource(Source):
    """A prepared data set of tensorflow-datasets; images are decoded one by one."""

    is_encoded = True

    def __init__(self, name: str, builder: Any) -> None:
        """Open the parts and find the image and the label among the features.

        Raises:
            UsageError: The set is not prepared, or is not for image classification.
        """
        self.name = name
        self._image_key, self._label_key = find_features(name, builder.info)
        self._is_prepared = bool(builder.info.splits)
        parts = published_parts(name, builder.info.splits)
        self._readers = {part: open_reader(name, builder, split) for part, split in parts.items()}
        # Reading labels must not decode images. TFDS's mock data, which has no splits, cannot skip.
        skip = {self._image_key: tfds.decode.SkipDecoding()} if self._is_prepared else None
        self._raw = {part: open_reader(name, builder, parts[part], skip) for part in parts}

        counts = {part: len(reader) for part, reader in self._readers.items()}
        self.ids = tuple(text for part in counts for text in example_ids(part, counts[part]))
        self.partitions = consecutive(counts)
        self.class_names = tuple(builder.info.features[self._label_key].names)
        self.image_shape = fixed_shape(builder.info.features[self._image_key].shape)

    @cached_property
    def labels(self) -> Labels:
        """Read the labels, (n,) int64, once and without decoding images.

        Raises:
            UsageError: A part is published without labels.
        """
        # TFDS gives the label -1 to examples of a part without labels.
        read = (example[self._label_key] for raw in self._raw.values() for example in raw)
        labels = np.fromiter(read, dtype=np.int64, count=len(self))
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise UsageError(
                f"Got labels from {labels.min()} to {labels.max()} in {self.name!r}. Expected "
                f"0 to {len(self.class_names) - 1}. Try a data set whose parts are labelled."
            )
        return labels

    def image(self, index: int) -> Pixels:
        """Decode one image: (H, W, C) uint8."""
        for part, indices in self.partitions.items():
            if indices[0] <= index <= indices[-1]:
                example = self._readers[part][int(index - indices[0])]
                return np.asarray(example[self._image_key], dtype=np.uint8)
        raise IndexError(f"Got index={index}. Expected 0 to {len(self) - 1}.")

    @cached_property
    def digests(self) -> Sequence[str]:
        """Compute the sha256 of each encoded file, or of the pixels if there are no files."""
        if not self._is_prepared:
            return [hashlib.sha256(content).hexdigest() for content in super().contents()]
        return [hashlib.sha256(content).hexdigest() for content in self.contents()]

    def contents(self) -> Iterable[bytes]:
        """Yield the encoded files, which need no decoding, or the pixels of mock data."""
        if not self._is_prepared:
            yield from super().contents()
            return
        for raw in self._raw.values():
            for example in raw:
                yield bytes(example[self._image_key])


def open_tfds(name: str, rest: str) -> TfdsSource:
    """Open `NAME` or `NAME:CONFIG`.

    Raises:
        UsageError: The name or configuration is unknown, or the set is not prepared or not for
            image classification.
    """
    dataset, _, config = rest.partition(":")
    logging.getLogger("absl").addFilter(is_news)
    try:
        full_name = f"{dataset}/{config}" if config else dataset
        builder = tfds.builder(full_name, file_format=FILE_FORMAT)
    except tfds.core.DatasetNotFoundError:
        raise UsageError(
            f"Got {name!r}, which tensorflow-datasets does not know. Expected a name of "
            "`tfds.list_builders()`. Try correcting the name."
        ) from None
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(
            f"Got {name!r}, which tensorflow-datasets cannot open ({first_line(error)}). Expected "
            "tfds:NAME or tfds:NAME:CONFIG. Try correcting it, or install the missing package."
        ) from None
    return TfdsSource(name, builder)


def is_news(record: logging.LogRecord) -> bool:
    """Drop two TFDS warnings: of unprepared sets, which our error covers, and of Pillow's use."""
    return not any(text in str(record.msg) for text in ("dataset_info.json", "OpenCV"))


def published_parts(name: str, splits: Any) -> dict[str, str]:
    """Return our part name -> TFDS's split name, for the parts that hold examples.

    Raises:
        UsageError: No part holds examples.
    """
    # Mock data lists no splits but answers to every name; an unprepared set is refused when opened.
    listed = splits or ("train", "test")
    known = {PART_NAMES[split]: split for split in listed if split in PART_NAMES}
    parts = {
        part: split for part, split in known.items() if not splits or splits[split].num_examples
    }
    if not parts:
        raise UsageError(
            f"Got {name!r} with the parts {list(splits)}. Expected a set with at least one "
            f"of {', '.join(PART_NAMES)}. Try another set or configuration."
        )
    return parts


def find_features(name: str, info: Any) -> tuple[str, str]:
    """Find the keys of the image and of the label.

    They are the supervised pair, or else the features `image` and `label`, or else the only ones of
    their kind.

    Raises:
        UsageError: There is no image or no label, or the choice is open.
    """
    images = keys_of(info.features, tfds.features.Image)
    labels = keys_of(info.features, tfds.features.ClassLabel)
    image_key, label_key = (info.supervised_keys or (None, None))[:2]
    if image_key in images and label_key in labels:
        return str(image_key), str(label_key)
    image_key = "image" if "image" in images else images[0] if len(images) == 1 else None
    label_key = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
    if image_key is None or label_key is None:
        raise UsageError(
            f"Got {name!r} with the image features {images} and the class features {labels}. "
            "Expected a set with one of each. Try an image-classification set."
        )
    return image_key, label_key


def keys_of(features: Any, kind: Any) -> list[str]:
    """Return the top-level features of one kind; images other than uint8 do not count."""
    return [
        key
        for key, feature in features.items()
        if isinstance(feature, kind)
        and (kind is not tfds.features.Image or feature.np_dtype == np.uint8)
    ]


def open_reader(name: str, builder: Any, split: str, decoders: Any = None) -> Any:
    """Open one part for random access.

    Raises:
        UsageError: The part cannot be read; the message has the command that prepares the set.
    """
    try:
        return builder.as_data_source(split, decoders=decoders)
    except (KeyError, NotImplementedError, ValueError, OSError) as error:
        raise UsageError(
            f"Got {name!r}, whose part {split!r} cannot be read ({first_line(error)}). "
            f"Expected a set prepared in {str(builder.data_dir)!r} as {FILE_FORMAT}. Try preparing "
            f"it once with `tfds build {builder.name} --file_format={FILE_FORMAT}`."
        ) from None


def fixed_shape(shape: tuple[int | None, ...]) -> Shape | None:
    """Return (H, W, C) if the features promise it for every image, or else None."""
    height, width, channels = shape
    if height is None or width is None or channels is None:
        return None
    return (height, width, channels)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    # By `args`, because str() puts a KeyError's text into quotes.
    text = str(error.args[0]) if error.args else type(error).__name__
    return text.splitlines()[0].rstrip(" :") if text else type(error).__name__
