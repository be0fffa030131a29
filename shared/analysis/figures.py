"""A report's pictures as inline SVG, each with the numbers that it shows.

Text and lines take the colours of the page around them, so that one picture serves a light and a
dark page. Class names are data: they are never read as mathematics or markup.
"""

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from poc.shared.engine.output import plain

from .groups import Group

# Stand-ins that the finished SVG carries as the page's own colours.
INK, LINE = "#010203", "#010204"
PAGE_COLOURS = {INK: "currentColor", LINE: "var(--line)"}
BACKEND_COLOURS = {"tf": "#d9822b", "torch": "#3d7edb"}
SEED_COLOURS = ("#3d7edb", "#d9822b", "#3a9d6e", "#a45cc4", "#c94f5d", "#8a8f98")
SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlecolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are read, not yet escaped for any format."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: Sequence[str] = ()
    """Columns that hold words, not numbers."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An SVG element, one sentence that says what it shows, and its numbers."""

    title: str
    svg: str
    description: str
    table: Table = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One panel of the bar chart."""

    column: str
    title: str
    form: str
    scale: float = 1.0


QUANTITIES = (
    Quantity(column="total_parameters", title="Parameters", form="{:,.0f}"),
    Quantity(column="trainable_parameters", title="Trainable parameters", form="{:,.0f}"),
    Quantity(column="weight_bytes", title="Size of the weights, kB", form="{:,.1f}", scale=1e-3),
    Quantity(column="test_accuracy", title="Test accuracy", form="{:.3f}"),
    Quantity(column="total_seconds", title="Total time, s", form="{:,.1f}"),
    Quantity(column="epoch_seconds", title="Time per epoch, s", form="{:,.2f}"),
)


def shorten(text: str, length: int) -> str:
    """The text, cut to a length."""
    text = plain(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches under the report's settings, without global state."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # The reader's fonts draw the text: that this machine's lack a letter does not matter.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, description: str) -> str:
    """The figure as one SVG element with an accessible name."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    name = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)


def draw_bars(groups: Sequence[Group], majority: float | None) -> Picture:
    """The study's bar charts: six quantities, one bar a row."""
    labels = [shorten(group.label, 34) for group in groups]
    description = f"Bar charts of {len(QUANTITIES)} quantities for {len(groups)} rows."
    with drawing(11, 1.4 + 0.5 * len(groups)) as figure:
        axes = figure.subplots(2, 3, sharey=True)
        for panel, quantity in zip(axes.flat, QUANTITIES, strict=True):
            draw_quantity(panel, groups, quantity, majority)
        axes[0, 0].set_yticks(range(len(labels)), labels)
        axes[0, 0].invert_yaxis()
        svg = to_svg(figure, description)
    return Picture(
        title="Parameters, size, accuracy and time",
        svg=svg,
        description=f"{description} Whiskers: 95 % interval of the accuracy, standard deviation "
        "over seeds elsewhere; dashed: the majority baseline.",
        table=bar_numbers(groups),
    )


def draw_quantity(
    axes: Axes, groups: Sequence[Group], quantity: Quantity, majority: float | None
) -> None:
    """One panel: bars, whiskers, and the values beside them."""
    is_accuracy = quantity.column == "test_accuracy"
    axes.set_title(quantity.title)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    known = [group.spread(quantity.column) for group in groups]
    values = [item.mean * quantity.scale if item else 0.0 for item in known]
    positive = [value for value in values if value > 0]
    if positive and not is_accuracy and max(positive) > 50 * min(positive):
        axes.set_xscale("log")
        axes.set_xlim(min(positive) / 3, max(positive) * 6)
    else:
        axes.set_xlim(0, 1.32 if is_accuracy else max([*values, 1e-9]) * 1.45)
    colours = [BACKEND_COLOURS.get(group.backend, SEED_COLOURS[0]) for group in groups]
    axes.barh(range(len(groups)), values, color=colours, height=0.62)
    for index, (group, item) in enumerate(zip(groups, known, strict=True)):
        if item is None:
            continue
        low, high = whisker(group, item, quantity)
        if high > low:
            axes.plot([low, high], [index, index], color=INK, linewidth=1.1)
        text = quantity.form.format(item.mean * quantity.scale)
        end = max(values[index], high)
        axes.annotate(
            text, (end, index), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    if is_accuracy and majority is not None:
        axes.axvline(majority, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])


def whisker(group: Group, item: Any, quantity: Quantity) -> tuple[float, float]:
    """Ends of a bar's whisker."""
    if quantity.column == "test_accuracy" and group.interval:
        return group.interval
    sd = item.sd or 0.0
    return max(item.mean - sd, 0.0) * quantity.scale, (item.mean + sd) * quantity.scale


def bar_numbers(groups: Sequence[Group]) -> Table:
    """The numbers of the bar charts."""
    rows = []
    for group in groups:
        cells = [group.label]
        for quantity in QUANTITIES:
            item = group.spread(quantity.column)
            scaled = item and item._replace(
                mean=item.mean * quantity.scale,
                sd=item.sd * quantity.scale if item.sd else None,
            )
            cells.append(scaled.write(quantity.form) if scaled else "-")
        rows.append(cells)
    columns = ["row", *(quantity.title for quantity in QUANTITIES)]
    return Table(title="Numbers of the bar charts", columns=columns, rows=rows)


def draw_curves(groups: Sequence[Group], metric: str) -> Picture | None:
    """Learning curves of every run: a panel a row, a colour a seed."""
    names = (f"train/{metric}", f"val/{metric}")
    if not any(
        name in line
        for group in groups
        for run in group.runs
        for line in run.epochs
        for name in names
    ):
        return None
    columns = min(4, len(groups))
    lines = math.ceil(len(groups) / columns)
    description = f"Learning curves: {metric} by epoch for every run, one panel a row."
    with drawing(11, 0.4 + 1.95 * lines) as figure:
        figure.subplots(lines, columns, sharex=True, sharey=True)
        for axes, group in zip(figure.axes, groups, strict=False):
            draw_panel(axes, group, names)
        for axes in figure.axes[len(groups) :]:
            axes.set_visible(False)
        figure.supxlabel("epoch", fontsize=9)
        svg = to_svg(figure, description)
    return Picture(
        title=f"Learning curves: {metric}",
        svg=svg,
        description=f"{description} Solid: validation; dashed: training; one colour a seed; "
        "dot: the epoch whose weights were kept.",
        table=curve_numbers(groups, metric),
    )


def draw_panel(axes: Axes, group: Group, names: tuple[str, str]) -> None:
    """One row's curves."""
    axes.set_title(shorten(group.label, 34))
    axes.grid(axis="y")
    axes.tick_params(length=0)
    for index, run in enumerate(group.runs):
        colour = SEED_COLOURS[index % len(SEED_COLOURS)]
        for name, style in zip(names, ((0, (3, 2)), "solid"), strict=True):
            points = [
                (line["epoch"], line[name]) for line in run.epochs if line.get(name) is not None
            ]
            if points:
                marker = "." if len(points) == 1 else None
                axes.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    linewidth=1.2,
                    linestyle=style,
                    marker=marker,
                )
            kept = [point for point in points if point[0] == run.row["best_epoch"]]
            if name == names[1] and kept:
                axes.plot(*kept[0], "o", color=colour, markersize=3.5)


def curve_numbers(groups: Sequence[Group], metric: str) -> Table:
    """First, kept and last value of each curve."""
    rows = []
    for group in groups:
        for run in group.runs:
            kept = [line for line in run.epochs if line["epoch"] == run.row["best_epoch"]]
            cells = [group.label, str(run.row["seed"]), str(run.row["best_epoch"])]
            for part in ("train", "val"):
                for line in (run.epochs[0], *(kept[:1] or [{}]), run.epochs[-1]):
                    value = line.get(f"{part}/{metric}")
                    cells.append("-" if value is None else f"{value:.4f}")
            rows.append(cells)
    places = [
        f"{part}, {place}" for part in ("train", "val") for place in ("first", "kept", "last")
    ]
    return Table(
        title=f"Numbers of the learning curves: {metric}",
        columns=["row", "seed", "kept epoch", *places],
        rows=rows,
        note="Every epoch stands in curves.csv.",
    )
