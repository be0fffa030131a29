"""Data that cannot be studied, each refused in one sentence before any training."""

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Source
from poc.shared.data.splits.class_check import way_out
from poc.shared.data.splits.leaks import Leak, describe_leaks, find_leaks
from poc.shared.data.splits.split import Split
from poc.shared.errors import UsageError
from poc.shared.shown_names import say

NUM_FOLDS = 5
"""Folds of a study, and so the fewest images, or groups, that each class needs."""


def check_classes(source: Source) -> None:
    """Refuse any number of labels per image, and fewer than two classes.

    Raises:
        UsageError: See above.
    """
    if source.is_multi_label:
        raise UsageError(
            f"Got {source.name!r}, whose images have any number of labels. Expected one class per "
            "image, which alone a study compares. Try `poc sweep` and `poc report`."
        )
    if (present := int((source.count_classes() > 0).sum())) < 2:
        raise UsageError(
            f"Got {source.name!r} with {say(present, 'class')}. Expected at least 2, since one "
            "class needs no network. Try one folder per class."
        )


def check_enough(source: Source, groups: NDArray[np.str_] | None) -> None:
    """Refuse a class that has fewer images, or groups, than there are folds.

    Args:
        source: Gives labels and classes.
        groups: (n,) text, the group of each example; None without groups.

    Raises:
        UsageError: The message names the smallest class.
    """
    labels = source.labels
    what = "image" if groups is None else "group"
    units = np.arange(len(source)).astype(str) if groups is None else groups
    counts = [len(np.unique(units[labels == label])) for label in range(len(source.class_names))]
    smallest = int(np.argmin(counts))
    if counts[smallest] >= NUM_FOLDS:
        return
    raise UsageError(
        f"Got {source.name!r}, whose class {source.class_names[smallest]!r} has "
        f"{say(counts[smallest], what)}. Expected at least {NUM_FOLDS} {what}s in each class, one "
        f"per fold. Try adding {what}s, or {way_out(source)}."
    )


def check_leaks(split: Split) -> None:
    """Refuse the user's own parts if they share a content or a group.

    A validation part that is drawn from the train part is not compared with it: it is not the
    user's own.

    Raises:
        UsageError: The message names the first contents or groups.
    """
    source = split.source
    has_own_val = split.spec.kind == "listed" or "val" in source.partitions
    leaks = [leak for leak in find_leaks(split) if has_own_val or "test" in leak.ids]
    if leaks:
        raise UsageError(
            f"Got {source.name!r}, whose parts share {count_leaks(leaks)}: "
            f"{describe_leaks(leaks, 1)}. Expected no image and no group in two parts, since a "
            "test on them is easier than on new images. Try moving them into one part."
        )


def count_leaks(leaks: list[Leak]) -> str:
    """Return `2 images and 1 group`, the numbers of shared contents and groups."""
    counts = {"image": 0, "group": 0}
    for leak in leaks:
        counts["group" if leak.kind == "group" else "image"] += 1
    return " and ".join(say(count, what) for what, count in counts.items() if count)
