"""Facts about a source: counts, sizes, balance, duplicates, and files that cannot be read."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from .base import Source
from .class_folders.listing import count_suffixes

NUM_BINS = 12


class Quantiles(TypedDict):
    """Smallest, median and largest value."""

    min: float
    median: float
    max: float


class Histogram(TypedDict):
    """Counts between consecutive edges: one edge more than counts."""

    edges: list[int]
    counts: list[int]


class Sizes(TypedDict):
    """Sides in pixels, and a histogram of the shorter one."""

    height: Quantiles
    width: Quantiles
    shorter_side: Quantiles
    width_over_height: Quantiles
    histogram: Histogram


class Balance(TypedDict):
    """Measures of how unequal the classes are."""

    largest_class: str
    majority_accuracy: float
    largest_over_smallest: float


class Duplicates(TypedDict):
    """Contents that occur more than once, and their examples' ids."""

    num_contents: int
    num_across_parts: int
    num_across_classes: int
    ids: list[list[str]]


class SourceFacts(TypedDict):
    """Facts about a source; `counts` class -> examples, `parts` the same per published part."""

    source: str
    fingerprint: str
    num_examples: int
    num_classes: int
    channels: int
    counts: dict[str, int]
    parts: dict[str, dict[str, int]]
    balance: Balance
    sizes: Sizes
    duplicates: Duplicates
    unreadable: dict[str, str]
    empty_classes: list[str]
    ignored: list[str]
    ignored_by_suffix: dict[str, int]
    loops: list[str]
    unused_folders: list[str]
    remarks: list[str]
    pictures: NotRequired[list[str]]


def describe_source(source: Source) -> SourceFacts:
    """Describe a source in plain values for a table, a picture or JSON."""
    names = source.class_names
    counts = source.count_classes()
    # Of several labels per image, all of the commonest set must be right.
    stratum = int(np.bincount(source.strata).argmax())
    first = source.labels[int(np.argmax(source.strata == stratum))]
    commonest = np.flatnonzero(first) if source.is_multi_label else [int(first)]
    return {
        "source": source.name,
        "fingerprint": source.fingerprint,
        "num_examples": len(source),
        "num_classes": len(names),
        "channels": (source.image_shape or source.image(0).shape)[2],
        "counts": name_counts(source, counts),
        "parts": {
            part: name_counts(source, source.count_classes(indices))
            for part, indices in source.partitions.items()
        },
        "balance": {
            "largest_class": " and ".join(names[label] for label in commonest) or "no label",
            "majority_accuracy": float(np.bincount(source.strata).max() / len(source)),
            # A class may be empty, as in a set whose class names are given.
            "largest_over_smallest": float(counts.max() / max(counts.min(), 1)),
        },
        "sizes": describe_sizes(find_sizes(source)),
        "duplicates": describe_duplicates(source),
        "unreadable": dict(source.unreadable),
        "empty_classes": list(source.empty_classes),
        "ignored": list(source.ignored),
        "ignored_by_suffix": count_suffixes(source.ignored),
        "loops": list(source.loops),
        "unused_folders": list(source.unused),
        "remarks": list(source.remarks),
    }


def name_counts(source: Source, counts: NDArray[np.int64]) -> dict[str, int]:
    """Give each class name its count, from counts (num_classes,) int64."""
    return {name: int(count) for name, count in zip(source.class_names, counts, strict=True)}


def find_sizes(source: Source) -> NDArray[np.int64]:
    """Return heights and widths, (n, 2) int64; decode images only if they are not known."""
    if source.image_sizes is not None:
        return source.image_sizes
    if source.image_shape is not None:
        return np.tile(np.array(source.image_shape[:2], dtype=np.int64), (len(source), 1))
    return np.array([source.image(index).shape[:2] for index in range(len(source))])


def describe_sizes(sizes: NDArray[np.int64]) -> Sizes:
    """Summarise sizes (n, 2): quantiles of sides and aspect ratio, histogram of the shorter side.

    Args:
        sizes: (n, 2) int64 heights and widths, in pixels.
    """
    shorter = sizes.min(axis=1)
    counts, edges = np.histogram(shorter, bins=choose_edges(shorter))
    return {
        "height": quantiles(sizes[:, 0]),
        "width": quantiles(sizes[:, 1]),
        "shorter_side": quantiles(shorter),
        "width_over_height": quantiles(sizes[:, 1] / sizes[:, 0]),
        "histogram": {"edges": [int(edge) for edge in edges], "counts": counts.tolist()},
    }


def choose_edges(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return integer edges of at most `NUM_BINS` equal bins that hold all values (n,) int64."""
    low, high = int(values.min()), int(values.max()) + 1
    # Rounded up, so that the bins reach the largest value; 1 if all values are equal.
    width = max(-(-(high - low) // NUM_BINS), 1)
    return np.arange(low, high + width, width)


def quantiles(values: NDArray[np.int64] | NDArray[np.float64]) -> Quantiles:
    """Return the smallest, median and largest of values (n,)."""
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return {"min": float(low), "median": float(median), "max": float(high)}


def describe_duplicates(source: Source) -> Duplicates:
    """Find examples of equal content, and count contents in two published parts or classes."""
    found: dict[str, list[int]] = {}
    for index, digest in enumerate(source.digests):
        found.setdefault(digest, []).append(index)
    groups = [members for members in found.values() if len(members) > 1]
    part_of = parts_of(source)
    across_parts = [
        members for members in groups if len({part_of.get(index) for index in members}) > 1
    ]
    across_classes = [
        members for members in groups if len(set(source.strata[members].tolist())) > 1
    ]
    return {
        "num_contents": len(groups),
        "num_across_parts": len(across_parts),
        "num_across_classes": len(across_classes),
        "ids": [[source.ids[index] for index in members] for members in groups],
    }


def parts_of(source: Source) -> Mapping[int, str]:
    """Return the published part of each position."""
    return {int(index): part for part, indices in source.partitions.items() for index in indices}
