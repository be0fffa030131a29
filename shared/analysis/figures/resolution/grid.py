"""The grid of FixRes: training size x test size, before and after the second phase.

A cell with two equal sizes is, before its second phase, the control that was trained at the test
size directly. Every other cell of its column is compared with it on the same test images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from poc.shared.analysis.figures.drawing import INK, Picture, drawing, make_shades, to_svg
from poc.shared.analysis.runs.predictions import Predictions, same_images
from poc.shared.analysis.statistics.intervals import mcnemar
from poc.shared.analysis.tables.table import Table
from poc.shared.data.views.object_size import ideal_ratio
from poc.shared.errors import UsageError
from poc.shared.files.collisions import write_once
from poc.shared.spec.run import BACKENDS

from .cells import UNTESTED, Cell, control_of

WHEN = ("before", "after")
# Range of the colours beyond the smallest and the largest accuracy.
PADDING = 0.02
# Inches, for titles and labels.
MIN_WIDTH = 4.0


def grid_table(cells: Sequence[Cell]) -> Table:
    """Return a table with one line per cell: accuracies with intervals, paired tests, latency."""
    columns = [
        "backend",
        "train",
        "test",
        "size ratio",
        "before",
        "95 % interval",
        "after",
        # The trailing space keeps titles different, because columns are identified by title.
        "95 % interval ",
        "p, before = after",
        "trained at test size",
        "p, after = that",
        "latency, ms",
    ]
    return Table(
        title="FixRes: before and after the second phase",
        columns=columns,
        rows=[table_row(cell, cells) for cell in cells],
        words=("backend",),
        note="Intervals are of these test images alone. The size ratio is the ideal mean of an "
        "object's size in the test over its size in training. The p values are of exact McNemar "
        "tests on the same test images, and not adjusted for their number. “Trained at test size” "
        "is the accuracy before the second phase.",
    )


def table_row(cell: Cell, cells: Sequence[Cell]) -> list[str]:
    """Return the table's line of one cell."""
    sizes = cell.train_size, cell.test_size
    ratio = ideal_ratio(*sizes, crop_share=cell.crop_share, area=cell.area)
    place = [cell.backend, str(cell.train_size), str(cell.test_size), f"{ratio:.2f}"]
    if cell.failure:
        return [*place, cell.failure, *["-"] * 7]
    row, control = cell.row, control_of(cell, cells)
    direct = control.row.get("before_test_accuracy") if control else None
    return [
        *place,
        f"{row['before_test_accuracy']:.4f}",
        f"{row['before_test_accuracy_low']:.3f} to {row['before_test_accuracy_high']:.3f}",
        f"{row['test_accuracy']:.4f}",
        f"{row['test_accuracy_low']:.3f} to {row['test_accuracy_high']:.3f}",
        paired(cell.before, cell.after),
        "-" if direct is None else f"{direct:.4f}",
        paired(cell.after, control.before if control else None),
        f"{1000 * row['latency_seconds']:.1f}",
    ]


def paired(first: Predictions | None, second: Predictions | None) -> str:
    """Return the p value of the exact McNemar test; a dash if the images are not the same."""
    if first is None or second is None or not same_images(first, second):
        return "-"
    return f"{mcnemar(first.hits, second.hits).p_value:.3f}"


def activation_table(cells: Sequence[Cell]) -> Table:
    """Return a table of the pooled features at both sizes: mean, deviation, share of zeros."""
    rows = [
        [
            cell.backend,
            str(cell.train_size),
            str(cell.test_size),
            str(item["size"]),
            str(item["weights"]),
            f"{item['mean']:.4f}",
            f"{item['deviation']:.4f}",
            f"{item['zero_share']:.4f}",
        ]
        for cell in cells
        for item in each_once(cell.row.get("activations", []))
    ]
    return Table(
        title="Activations after the global pool",
        columns=["backend", "train", "test", "seen at", "weights", "mean", "deviation", "zeros"],
        rows=rows,
        words=("backend", "weights"),
    )


def each_once(items: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Keep the first item of each size and weights: a cell of one size was measured twice."""
    return list({(item["size"], item["weights"]): item for item in reversed(items)}.values())[::-1]


def draw_grid(cells: Sequence[Cell]) -> Picture:
    """Draw heat maps of accuracy by training size (down) and test size (across).

    There is one map per backend and phase.
    """
    backends = [name for name in BACKENDS if any(cell.backend == name for cell in cells)]
    trains = sorted({cell.train_size for cell in cells})
    tests = sorted({cell.test_size for cell in cells})
    description = (
        f"Accuracy of FixRes for training sizes {trains} and test sizes {tests}, before and after "
        f"the second phase, in {' and '.join(backends)}."
    )
    known = [
        value
        for when in WHEN
        for value in accuracies(cells, trains, tests, when).flat
        if not np.isnan(value)
    ]
    limits = (min(known, default=0.0) - PADDING, max(known, default=1.0) + PADDING)
    height = 1.1 + 0.5 * len(trains)
    with drawing(max(1.4 + 1.2 * len(tests), MIN_WIDTH), height * len(backends)) as figure:
        panels = figure.subplots(len(backends), len(WHEN), squeeze=False)
        for line, backend in enumerate(backends):
            for place, when in enumerate(WHEN):
                own = [cell for cell in cells if cell.backend == backend]
                axes = panels[line][place]
                axes.set_title(f"{backend}, {when}")
                draw_panel(axes, own, trains, tests, when, limits)
        svg = to_svg(figure, description)
    return Picture(
        title="FixRes: accuracy by training and test size",
        panels=[svg],
        description=description,
        table=grid_table(cells),
    )


def draw_panel(
    axes: Axes,
    cells: Sequence[Cell],
    trains: list[int],
    tests: list[int],
    when: str,
    limits: tuple[float, float],
) -> None:
    """Draw one heat map; a cell without a number shows that it failed, or was not tested."""
    low, high = limits
    values = accuracies(cells, trains, tests, when)
    axes.pcolormesh(np.ma.masked_invalid(values), cmap=make_shades(), vmin=low, vmax=high)
    axes.set_xticks(np.arange(len(tests)) + 0.5, [str(size) for size in tests])
    axes.set_yticks(np.arange(len(trains)) + 0.5, [str(size) for size in trains])
    axes.set_xlabel("test size")
    axes.set_ylabel("training size")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    failed = {
        (cell.train_size, cell.test_size): "no test" if cell.failure == UNTESTED else "failed"
        for cell in cells
        if cell.failure
    }
    for line, train in enumerate(trains):
        for column, test in enumerate(tests):
            value = values[line, column]
            text = failed.get((train, test), "") if np.isnan(value) else f"{value:.3f}"
            colour = "white" if value - low > 0.7 * (high - low) else INK
            axes.annotate(text, (column + 0.5, line + 0.5), ha="center", va="center", color=colour)


def accuracies(
    cells: Sequence[Cell], trains: list[int], tests: list[int], when: str
) -> NDArray[np.float64]:
    """Return the seeds' mean accuracies (num_train_sizes, num_test_sizes); NaN if unknown."""
    column = "before_test_accuracy" if when == WHEN[0] else "test_accuracy"
    values = np.full((len(trains), len(tests)), np.nan)
    for line, train in enumerate(trains):
        for place, test in enumerate(tests):
            known = [
                cell.row[column]
                for cell in cells
                if (cell.train_size, cell.test_size) == (train, test) and not cell.failure
            ]
            if known:
                values[line, place] = float(np.mean(known))
    return values


def write_picture(picture: Picture, path: Path) -> None:
    """Write the heat maps to an SVG file, dark on white.

    Raises:
        UsageError: The file cannot be written, or another file is there.
    """
    svg = picture.svg.replace("currentColor", "#1b1f24").replace("var(--line)", "#8a8f98")
    if "xmlns=" not in svg:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    try:
        write_once(path, svg.encode(), "--image")
    except OSError as error:
        raise UsageError(
            f"Got --image {str(path)!r}, which cannot be written ({error.strerror}). Expected a "
            "file in a folder that exists. Try --image grid.svg, or make the folder first."
        ) from None
