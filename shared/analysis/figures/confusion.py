"""A confusion matrix as a picture, with its counts; for many classes the commonest confusions.

A matrix has a square for every pair of classes, so the size of the page would grow with the square
of their number. All counts above 0 are in confusion.csv, with at most one line per test image.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.statistics.intervals import Confusion
from poc.shared.analysis.tables.table import Table
from poc.shared.shown_names import plain, say

from .drawing import INK, SHADE, Picture, drawing, make_shades, shorten, to_svg

MAX_ANNOTATED_CLASSES = 12
MAX_NAMED_CLASSES = 40
MAX_DRAWN_CLASSES = 50
NUM_PAIRS = 20


def draw_confusion(group: Group) -> Picture | None:
    """Draw a row's confusion matrix over all its runs, as shares of each true class.

    With more than 50 classes, draw bars of the pairs that are confused most. Returns None if no
    run was tested.
    """
    counted, names = group.confused(), group.runs[0].record.data.class_names
    if counted is None:
        return None
    commonest = commonest_confusions(counted)
    counts = None if len(names) > MAX_DRAWN_CLASSES else group.confusion()
    if counts is None:
        return draw_pairs(group, commonest, names)
    shown = [shorten(name, 18) for name in names]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(1.3 + 0.28 * len(names), 7.0)
    description = f"Confusion matrix of {plain(group.label)} over {say(len(group.runs), 'run')}."
    with drawing(size + 0.7, size) as figure:
        axes = figure.subplots()
        draw_shares(axes, shares, shown)
        svg = to_svg(figure, description)
    return Picture(
        title=group.label,
        panels=[svg],
        description=description,
        table=count_table(counts, names)
        if len(names) <= MAX_ANNOTATED_CLASSES
        else pair_table(commonest, names),
    )


def draw_shares(axes: Axes, shares: NDArray[np.float64], names: Sequence[str]) -> None:
    """Draw the squares, the class names and, for few classes, the shares as numbers.

    Args:
        axes: The plot.
        shares: (C, C) shares, row the true class, column the predicted one.
        names: Class names.
    """
    axes.pcolormesh(shares[::-1], cmap=make_shades(), vmin=0, vmax=1)
    num_classes = len(names)
    places = np.arange(num_classes) + 0.5
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_aspect("equal")
    shown = names if num_classes <= MAX_NAMED_CLASSES else ["" for _ in names]
    is_long = any(len(name) > 2 for name in names)
    axes.set_xticks(places, shown, rotation=90 if is_long else 0)
    axes.set_yticks(places, shown[::-1])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if num_classes > MAX_ANNOTATED_CLASSES:
        return
    for line in range(num_classes):
        for column in range(num_classes):
            if (share := shares[line, column]) >= 0.005:
                place = (column + 0.5, num_classes - line - 0.5)
                axes.annotate(
                    f"{share:.2f}".lstrip("0"),
                    place,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if share > 0.7 else INK,
                )


def draw_pairs(group: Group, pairs: Sequence[Confusion], names: Sequence[str]) -> Picture:
    """Draw bars of the commonest confusions, for a row with too many classes for squares."""
    labels = [
        f"{shorten(names[pair.true], 18)} → {shorten(names[pair.predicted], 18)}" for pair in pairs
    ]
    description = (
        f"The {len(pairs)} commonest confusions of {plain(group.label)} among {len(names):,} "
        f"classes, over {say(len(group.runs), 'run')}: true class → predicted class."
    )
    with drawing(4.4, 0.7 + 0.24 * max(len(pairs), 1)) as figure:
        axes = figure.subplots()
        bars = axes.barh(range(len(pairs)), [pair.num_images for pair in pairs], color=SHADE)
        axes.bar_label(bars, padding=3, fontsize=8)
        axes.set_yticks(range(len(pairs)), labels, fontsize=8)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.invert_yaxis()
        axes.set_xlabel("images")
        svg = to_svg(figure, description)
    return Picture(
        title=group.label, panels=[svg], description=description, table=pair_table(pairs, names)
    )


def commonest_confusions(pairs: Sequence[Confusion]) -> list[Confusion]:
    """Return the wrong answers with most images first; ties keep the order of the classes."""
    wrong = [pair for pair in pairs if pair.true != pair.predicted]
    return sorted(wrong, key=lambda pair: -pair.num_images)[:NUM_PAIRS]


def count_table(counts: NDArray[np.int64], names: Sequence[str]) -> Table:
    """Return the table of all counts, (C, C), for few classes."""
    rows = [
        [name, *(str(count) for count in line)] for name, line in zip(names, counts, strict=True)
    ]
    return Table(title="Counts", columns=["true \\ predicted", *names], rows=rows)


def pair_table(pairs: Sequence[Confusion], names: Sequence[str]) -> Table:
    """Return the table of the commonest confusions, for many classes."""
    return Table(
        title="The commonest confusions",
        columns=["true", "predicted", "images"],
        rows=[[names[pair.true], names[pair.predicted], str(pair.num_images)] for pair in pairs],
        note="All counts are in confusion.csv.",
        words=["true", "predicted"],
    )
