"""A confusion matrix as a picture, with its counts."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .figures import INK, Picture, Table, drawing, plain, shorten, to_svg
from .groups import Group

MAX_ANNOTATED_CLASSES = 12
MAX_NAMED_CLASSES = 40


def draw_confusion(group: Group) -> Picture | None:
    """A row's confusion matrix over all its runs, as shares of each true class."""
    counts = group.confusion()
    if counts is None:
        return None
    names = [shorten(name, 18) for name in group.runs[0].record.data.class_names]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(1.3 + 0.28 * len(names), 7.0)
    description = f"Confusion matrix of {plain(group.label)} over {len(group.runs)} runs."
    with drawing(size + 0.7, size) as figure:
        axes = figure.subplots()
        draw_shares(axes, shares, names)
        svg = to_svg(figure, description)
    return Picture(
        title=group.label,
        svg=svg,
        description=description,
        table=confusion_numbers(counts, group),
    )


def draw_shares(axes: Axes, shares: NDArray[np.float64], names: Sequence[str]) -> None:
    """The squares, their shares where there is room, and the class names."""
    colours = mpl.colors.LinearSegmentedColormap.from_list(
        "shares", [(0.24, 0.49, 0.86, 0.03), (0.24, 0.49, 0.86, 1.0)]
    )
    axes.pcolormesh(shares[::-1], cmap=colours, vmin=0, vmax=1)
    num_classes = len(names)
    places = np.arange(num_classes) + 0.5
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_aspect("equal")
    shown = names if num_classes <= MAX_NAMED_CLASSES else ["" for _ in names]
    axes.set_xticks(places, shown, rotation=90)
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
                    fontsize=6.5,
                    color="white" if share > 0.6 else INK,
                )


def confusion_numbers(counts: NDArray[np.int64], group: Group) -> Table:
    """All counts of few classes; the commonest confusions of many."""
    names = group.runs[0].record.data.class_names
    if len(names) <= MAX_ANNOTATED_CLASSES:
        rows = [
            [name, *(str(count) for count in line)]
            for name, line in zip(names, counts, strict=True)
        ]
        return Table(title="Counts", columns=["true \\ predicted", *names], rows=rows)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:20]
    pairs = [divmod(int(index), len(names)) for index in order]
    rows = [
        [names[true], names[predicted], str(wrong[true, predicted])]
        for true, predicted in pairs
        if wrong[true, predicted]
    ]
    return Table(
        title="The commonest confusions",
        columns=["true", "predicted", "images"],
        rows=rows,
        note="All counts stand in confusion.csv.",
    )
