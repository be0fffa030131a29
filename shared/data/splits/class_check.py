"""The check that each part of a split has an example of each class."""

import math

import numpy as np

from poc.shared.data.sources.base import PARTITIONS, Indices, Source
from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.data import SplitSpec


def check_classes(source: Source, spec: SplitSpec, kind: str, part: str, indices: Indices) -> None:
    """Refuse a part that lacks a class.

    Args:
        source: Gives the classes.
        spec: Definition of the split.
        kind: `spec.kind`, with the kind that `auto` became.
        part: Name of the part.
        indices: (k,) int64 positions of its examples.

    Raises:
        UsageError: The part lacks a class; the message has the class's size and a remedy.
    """
    present = source.count_classes(indices)
    if (present > 0).all():
        return
    label = int(np.argmin(present))
    count = int(source.count_classes()[label])
    raise UsageError(
        f"Got a split of {source.name!r} that leaves class {source.class_names[label]!r} "
        f"({say(count, 'example')}) without one in the {part} part. Expected at least one of "
        f"each class. Try {advise_parts(spec, kind, part, count, way_out(source))}."
    )


def way_out(source: Source) -> str:
    """Say how a user leaves a class out."""
    from_table = source.columns is not None
    return f"leave the class out {'of the table' if from_table else 'with class_pattern'}"


def advise_parts(spec: SplitSpec, kind: str, part: str, count: int, without_class: str) -> str:
    """Advise on a class whose number of examples, `count`, is too small for a part."""
    if kind == "kfold":
        if part == "val":
            return "--set val_fraction=0 for no validation part, or add examples"
        return f"adding examples up to {spec.num_folds} of each class, or lower split.num_folds"
    if kind == "published" and part == "val":
        return "--set val_fraction=0 for no validation part, or add examples"
    if kind != "fractions":
        return f"adding examples, or {without_class}"
    share = spec.fractions[PARTITIONS.index(part)]
    # Rounded first, because 1 / 0.1 may come out just above 10 and would become 11.
    needed = math.ceil(round(1 / share, 6))
    train, val, test = spec.fractions
    without = f"--set split.fractions=[{train + val:g},0.0,{test:g}] for no validation part, "
    start = f"{without}or add" if part == "val" else "adding"
    more = f"{start} examples ({needed} of a class are sure to be enough)"
    # A single example cannot be both in a test fold and in the others.
    if count < 2:
        return f"{more}, or {without_class}"
    folds = f" --set split.num_folds={count}" if count < spec.num_folds else ""
    # No validation part is advised, because too few examples are left for one.
    return f"{more}, or test each once: --set split.kind=kfold{folds} --set val_fraction=0"
