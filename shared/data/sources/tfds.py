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
            UsageError: The set is not prepared, or it is no image classification.
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
        """(n,) int64, read once without decoding images.

        Raises:
            UsageError: A part is published without labels.
        """
        read = (example[self._label_key] for raw in self._raw.values() for example in raw)
        labels = np.fromiter(read, dtype=np.int64, count=len(self))
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise UsageError(
                f"received labels from {labels.min()} to {labels.max()} in {self.name!r}; allowed "
                f"are 0 to {len(self.class_names) - 1}: use a data set whose parts are labelled"
            )
        return labels

    def image(self, index: int) -> Pixels:
        """One decoded image: (H, W, C) uint8."""
        for part, indices in self.partitions.items():
            if indices[0] <= index <= indices[-1]:
                example = self._readers[part][int(index - indices[0])]
                return np.asarray(example[self._image_key], dtype=np.uint8)
        raise IndexError(f"received index {index}; allowed is 0 to {len(self) - 1}")

    @cached_property
    def digests(self) -> Sequence[str]:
        """Sha256 of each encoded file where they exist."""
        if not self._is_prepared:
            return [hashlib.sha256(content).hexdigest() for content in super().contents()]
        return [hashlib.sha256(content).hexdigest() for content in self.contents()]

    def contents(self) -> Iterable[bytes]:
        """The encoded files where they exist: no decoding."""
        if not self._is_prepared:
            yield from super().contents()
            return
        for raw in self._raw.values():
            for example in raw:
                yield bytes(example[self._image_key])


def open_tfds(name: str, rest: str) -> TfdsSource:
    """Open `NAME` or `NAME:CONFIG`.

    Raises:
        UsageError: Unknown name or configuration, not prepared, or no image classification.
    """
    dataset, _, config = rest.partition(":")
    logging.getLogger("absl").addFilter(is_news)
    try:
        full_name = f"{dataset}/{config}" if config else dataset
        builder = tfds.builder(full_name, file_format=FILE_FORMAT)
    except tfds.core.DatasetNotFoundError:
        raise UsageError(
            f"received {name!r}, which tensorflow-datasets does not know; allowed are the names of "
            "`tfds.list_builders()`: correct the name"
        ) from None
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(
            f"received {name!r}, which tensorflow-datasets cannot open ({first_line(error)}); "
            "allowed is tfds:NAME or tfds:NAME:CONFIG: correct it or install what is missing"
        ) from None
    return TfdsSource(name, builder)


def is_news(record: logging.LogRecord) -> bool:
    """Drop two TFDS warnings: of unprepared sets, which we say better, and of Pillow decoding."""
    return not any(text in str(record.msg) for text in ("dataset_info.json", "OpenCV"))


def published_parts(name: str, splits: Any) -> dict[str, str]:
    """Our part name -> TFDS's split name, for the parts that hold examples.

    Mock data lists no splits but answers to every name; an unprepared set is refused when opened.
    """
    listed = splits or ("train", "test")
    known = {PART_NAMES[split]: split for split in listed if split in PART_NAMES}
    parts = {
        part: split for part, split in known.items() if not splits or splits[split].num_examples
    }
    if not parts:
        raise UsageError(
            f"received {name!r} with the parts {list(splits)}; allowed is a set with at least one "
            f"of {', '.join(PART_NAMES)}: choose another set or configuration"
        )
    return parts


def find_features(name: str, info: Any) -> tuple[str, str]:
    """Keys of the image and of the label: the supervised pair, else the only ones of their kind."""
    images = keys_of(info.features, tfds.features.Image)
    labels = keys_of(info.features, tfds.features.ClassLabel)
    image_key, label_key = (info.supervised_keys or (None, None))[:2]
    if image_key in images and label_key in labels:
        return str(image_key), str(label_key)
    image_key = "image" if "image" in images else images[0] if len(images) == 1 else None
    label_key = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
    if image_key is None or label_key is None:
        raise UsageError(
            f"received {name!r} with the image features {images} and the class features {labels}; "
            "allowed is a set with one of each: choose an image-classification set"
        )
    return image_key, label_key


def keys_of(features: Any, kind: Any) -> list[str]:
    """Top-level features of one kind; images that are not bytes do not count."""
    return [
        key
        for key, feature in features.items()
        if isinstance(feature, kind)
        and (kind is not tfds.features.Image or feature.np_dtype == np.uint8)
    ]


def open_reader(name: str, builder: Any, split: str, decoders: Any = None) -> Any:
    """Random access to one part, or the command that prepares the set."""
    try:
        return builder.as_data_source(split, decoders=decoders)
    except (KeyError, NotImplementedError, ValueError, OSError) as error:
        raise UsageError(
            f"received {name!r}, whose part {split!r} cannot be read ({first_line(error)}); "
            f"allowed is a set prepared in {str(builder.data_dir)!r} as {FILE_FORMAT}: prepare it "
            f"once with `tfds build {builder.name} --file_format={FILE_FORMAT}`"
        ) from None


def fixed_shape(shape: tuple[int | None, ...]) -> Shape | None:
    """(H, W, C) when the features promise it for every image."""
    height, width, channels = shape
    if height is None or width is None or channels is None:
        return None
    return (height, width, channels)


def first_line(error: BaseException) -> str:
    """The error's own first line; a KeyError's text without its quotes."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return text.splitlines()[0].rstrip(" :") if text else type(error).__name__
