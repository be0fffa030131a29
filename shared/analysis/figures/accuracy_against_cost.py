"""Test accuracy over the cost of an image: the trade-off that a reader chooses from.

Costs are counted, not measured, so that another program on the machine cannot move a point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.tables.table import Table
from poc.shared.analysis.verdicts.findings import mean_accuracy
from poc.shared.spec.run import BACKENDS

from .axis_scales import LOG_MARGIN, label_linear, label_log, linear_limits, needs_log
from .drawing import (
    INK,
    PANEL_WIDTH,
    PAPERS,
    POINTS_PER_INCH,
    Picture,
    colour_backend,
    drawing,
    mark_backends,
    render,
    to_svg,
)
from .point_names import NamedPoint, write_names
from .time_to_accuracy import name_setting

TITLE = "Accuracy against cost"
# Inches: a panel of the page; the picture in a file, as wide as a column of text.
HEIGHT = 2.7
ALONE_WIDTH, ALONE_HEIGHT = 5.2, 3.5
# Points that the frameworks of one setting are moved apart; they cost the same.
SHIFT = 2.6
LOG = ", log axis"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A quantity that the network fixes: it is the same on any machine."""

    column: str
    title: str
    form: str
    scale: float = 1.0


COSTS = (
    Cost(column="macs", title="Multiply-adds of an image", form="{:,.0f}"),
    Cost(column="weight_bytes", title="Size of the weights, kB", form="{:,.1f}", scale=1e-3),
)


class Point(NamedTuple):
    """One row; `low` and `high` are the ends of the accuracy's interval, or the accuracy."""

    setting: str
    backend: str
    cost: float
    accuracy: float
    low: float
    high: float


def draw_accuracy_against_cost(groups: Sequence[Group]) -> Picture | None:
    """Draw a panel for each cost in which tested rows differ; None if there is no such cost."""
    panels, num_unnamed = [], 0
    for cost in telling_costs(groups):
        points = find_points(groups, cost)
        with drawing(PANEL_WIDTH, HEIGHT) as figure:
            axes = figure.subplots()
            num_unnamed = max(num_unnamed, draw_points(figure, axes, points))
            axes.set_title(f"{cost.title}{log_words(axes.xaxis)}")
            panels.append(to_svg(figure, f"Test accuracy over: {cost.title}."))
    if not panels:
        return None
    return Picture(
        title=TITLE,
        panels=panels,
        legend=mark_backends([group.backend for group in groups]),
        description=describe(groups, num_unnamed),
        table=cost_numbers(groups),
    )


def draw_alone(groups: Sequence[Group]) -> Mapping[str, str]:
    """Draw one picture per file, for a light and for a dark page.

    Returns:
        File name -> SVG; empty if tested rows differ in no cost.
    """
    costs = telling_costs(groups)
    if not costs:
        return {}
    points = find_points(groups, costs[0])
    with drawing(ALONE_WIDTH, ALONE_HEIGHT) as figure:
        axes = figure.subplots()
        draw_legend(figure, points)
        axes.set_ylabel("test accuracy")
        # The layout must not change between placing the names and writing the true label.
        axes.set_xlabel(costs[0].title + LOG)
        draw_points(figure, axes, points)
        axes.set_xlabel(f"{costs[0].title}{log_words(axes.xaxis)}")
        return {
            f"accuracy_against_cost_{paper}.svg": render(figure, alternative(points), colours)
            for paper, colours in PAPERS.items()
        }


def telling_costs(groups: Sequence[Group]) -> list[Cost]:
    """List the costs in which tested rows differ."""
    return [cost for cost in COSTS if len({item.cost for item in find_points(groups, cost)}) > 1]


def find_points(groups: Sequence[Group], cost: Cost) -> list[Point]:
    """Read mean accuracy and cost off each tested row; a row of unknown cost has no point."""
    points = []
    for group in groups:
        known = group.values(cost.column)
        if known and group.spread("test_accuracy"):
            mean = mean_accuracy(group)
            ends = group.interval or (mean, mean)
            place = (name_setting(group), group.backend, known[0] * cost.scale)
            points.append(Point(*place, mean, *ends))
    return points


def draw_points(figure: Figure, axes: Axes, points: Sequence[Point]) -> int:
    """Draw points, whiskers and names.

    Returns:
        How many settings have no room for a name.
    """
    costs = [point.cost for point in points]
    ends = [end for point in points for end in (point.low, point.high)]
    axes.set_ylim(*linear_limits(min(ends), max(ends)))
    label_linear(axes.yaxis)
    if needs_log(costs):
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / LOG_MARGIN, max(costs) * LOG_MARGIN)
        label_log(axes.xaxis)
    else:
        axes.set_xlim(*linear_limits(min(costs), max(costs)))
        label_linear(axes.xaxis)
    axes.grid()
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for point in points:
        draw_point(figure, axes, point)
    return write_names(figure, axes, settings_of(points))


def draw_point(figure: Figure, axes: Axes, point: Point) -> None:
    """Draw one row, moved to the side of its framework, with a paler whisker."""
    side = -SHIFT if point.backend == BACKENDS[0] else SHIFT
    moved = axes.transData + ScaledTranslation(side / POINTS_PER_INCH, 0, figure.dpi_scale_trans)
    colour = colour_backend(point.backend)
    whisker = [point.cost, point.cost], [point.low, point.high]
    axes.plot(*whisker, color=colour, linewidth=1.1, alpha=0.45, transform=moved)
    axes.plot([point.cost], [point.accuracy], "o", color=colour, markersize=5, transform=moved)


def settings_of(points: Sequence[Point]) -> list[NamedPoint]:
    """Give the frameworks of a setting one name at their mean; the best setting comes first."""
    members: dict[tuple[str, float], list[Point]] = {}
    for point in points:
        members.setdefault((point.setting, point.cost), []).append(point)
    named = [
        NamedPoint(
            name,
            cost,
            sum(point.accuracy for point in own) / len(own),
            [(point.low, point.accuracy, point.high) for point in own],
        )
        for (name, cost), own in members.items()
    ]
    return sorted(named, key=lambda item: -item.height)


def log_words(axis: Axis) -> str:
    """Name a logarithmic axis, as the end of its title."""
    return LOG if axis.get_scale() == "log" else ""


def draw_legend(figure: Figure, points: Sequence[Point]) -> None:
    """Explain colours and whiskers above the plot."""
    shown = mark_backends([point.backend for point in points])
    handles = [
        Line2D([], [], color=mark.colour, marker="o", linestyle="", label=mark.name)
        for mark in shown
    ]
    handles.append(Line2D([], [], color=INK, alpha=0.45, linewidth=1.1, label="95 % interval"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def describe(groups: Sequence[Group], num_unnamed: int) -> str:
    """Write the sentences below the panels."""
    has_both = len({group.backend for group in groups}) > 1
    sentences = ["Points: mean test accuracy over seeds. Lines: its 95 % interval."]
    if has_both:
        sentences.append(
            "Both frameworks of a setting cost the same: they are side by side, named once."
        )
    sentences.append("Costs are counted on the network, so no other program changes them.")
    if num_unnamed:
        sentences.append(
            f"Names that found no room: {num_unnamed}. The table below the picture has all of them."
        )
    return " ".join(sentences)


def alternative(points: Sequence[Point]) -> str:
    """Write the picture in words, for readers who cannot see it."""
    rows = "; ".join(f"{item.name} {item.height:.3f}" for item in settings_of(points))
    return f"Test accuracy over the cost of an image, mean of the frameworks: {rows}."


def cost_numbers(groups: Sequence[Group]) -> Table:
    """Tabulate the numbers of the picture, one line per row."""
    rows = []
    for group in groups:
        spread = group.spread("test_accuracy")
        interval = "{:.4f} to {:.4f}".format(*group.interval) if group.interval else "-"
        costs = [group.values(cost.column) for cost in COSTS]
        rows.append(
            [
                group.label,
                spread.write("{:.4f}") if spread else "-",
                interval,
                *(
                    cost.form.format(known[0] * cost.scale) if known else "-"
                    for cost, known in zip(COSTS, costs, strict=True)
                ),
            ]
        )
    return Table(
        title="Numbers of accuracy against cost",
        columns=["row", "test accuracy", "95 % interval", *(cost.title for cost in COSTS)],
        rows=rows,
    )
