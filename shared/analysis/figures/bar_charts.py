"""Bar charts of a study: six quantities with a panel each, and one bar per row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.statistics.intervals import Spread
from poc.shared.analysis.tables.table import Table

from .axis_scales import LOG_MARGIN, MARGIN, label_linear, label_log, needs_log
from .drawing import (
    INK,
    LINE_HEIGHT,
    PANEL_WIDTH,
    Picture,
    colour_backend,
    drawing,
    fold,
    mark_backends,
    to_svg,
)

# Inches: title and ticks together; a row's bar; the space above and below the bar.
FRAME_HEIGHT, BAR_HEIGHT, BAR_SPACE = 0.62, 0.11, 0.05
LOG = ", log axis"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """The quantity of one panel: its column in a summary, and the title and format of values."""

    column: str
    title: str
    form: str
    scale: float = 1.0

    @property
    def is_accuracy(self) -> bool:
        """Return whether it is the accuracy, which is a share and has an interval."""
        return self.column == "test_accuracy"


class Bar(NamedTuple):
    """A row's value and the ends of its whisker."""

    value: float
    low: float
    high: float


QUANTITIES = (
    Quantity(column="test_accuracy", title="Test accuracy", form="{:.3f}"),
    Quantity(column="total_seconds", title="Total time, s", form="{:,.1f}"),
    Quantity(column="epoch_seconds", title="Time per epoch, s", form="{:,.2f}"),
    Quantity(column="total_parameters", title="Parameters", form="{:,.0f}"),
    Quantity(column="trainable_parameters", title="Trainable parameters", form="{:,.0f}"),
    Quantity(column="weight_bytes", title="Size of the weights, kB", form="{:,.1f}", scale=1e-3),
)


def draw_bars(groups: Sequence[Group], majority: float | None) -> Picture | None:
    """Draw a panel for the accuracy and for each quantity in which the rows differ.

    Args:
        groups: The rows.
        majority: Accuracy of the majority baseline, or None if there is none for all rows.
    """
    known = [item for item in QUANTITIES if any(group.values(item.column) for group in groups)]
    shown = [item for item in known if item.is_accuracy or is_telling(item, groups)]
    if not shown:
        return None
    equal = [item for item in known if item not in shown] if groups[1:] else []
    height = FRAME_HEIGHT + row_height(groups) * len(groups)
    panels = []
    for quantity in shown:
        with drawing(PANEL_WIDTH, height) as figure:
            draw_quantity(figure.subplots(), groups, quantity, majority)
            panels.append(to_svg(figure, f"Bars: {quantity.title} of {len(groups)} rows."))
    return Picture(
        title="Side by side" if groups[1:] else shown[0].title,
        panels=panels,
        legend=mark_backends([group.backend for group in groups]),
        description="; ".join(
            [
                "Whiskers: 95 % interval of the accuracy, standard deviation over seeds elsewhere",
                *(["dashed: the majority baseline"] if majority is not None else []),
                *(["points: the axis is logarithmic"] if LOG in "".join(panels) else []),
            ]
        )
        + f".{describe_equal(equal, groups[0])}",
        table=bar_numbers(groups),
    )


def is_telling(quantity: Quantity, groups: Sequence[Group]) -> bool:
    """Return whether the rows differ in a quantity."""
    return len({frozenset(group.values(quantity.column)) for group in groups}) > 1


def describe_equal(quantities: Sequence[Quantity], group: Group) -> str:
    """Return a sentence about the quantities that are not drawn, because all rows are equal."""
    values = [f"{item.title} ({write_spread(group, item)})" for item in quantities]
    return f" Equal in all rows, so not drawn: {'; '.join(values)}." if values else ""


def row_height(groups: Sequence[Group]) -> float:
    """Return the inches of a row: the lines of the longest name, and the bar below them."""
    num_lines = max(len(fold(group.label)) for group in groups)
    return num_lines * LINE_HEIGHT + BAR_HEIGHT + 2 * BAR_SPACE


def draw_quantity(
    axes: Axes, groups: Sequence[Group], quantity: Quantity, majority: float | None
) -> None:
    """Draw one panel: per row the name, below it the bar with whisker, at the right the value."""
    bars = [measure(group, quantity) for group in groups]
    is_log = scale_values(axes, quantity, [bar for bar in bars if bar])
    axes.set_title(f"{quantity.title}{LOG if is_log else ''}")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    height = row_height(groups)
    for index, (group, bar) in enumerate(zip(groups, bars, strict=True)):
        place = place_bar(index, height)
        write_name(axes, group.label, place - (BAR_SPACE + BAR_HEIGHT) / 2 / height)
        text = "-"
        if bar:
            draw_bar(axes, bar, (place, BAR_HEIGHT / height), colour_backend(group.backend))
            text = quantity.form.format(bar.value)
        write_value(axes, text, place)
    if quantity.is_accuracy and majority is not None:
        for index in range(len(groups)):
            draw_baseline(axes, majority, place_bar(index, height), BAR_HEIGHT / height)


def place_bar(index: int, height: float) -> float:
    """Return the middle of a row's bar, in rows; the bar is at the bottom of the row.

    Args:
        index: Index of the row.
        height: Height of a row in inches.
    """
    return index + 0.5 - (BAR_SPACE + BAR_HEIGHT / 2) / height


def draw_baseline(axes: Axes, majority: float, place: float, height: float) -> None:
    """Draw a dashed line across one bar only, so that it crosses no name."""
    ends = [place - 0.7 * height, place + 0.7 * height]
    axes.plot([majority, majority], ends, color=INK, linewidth=1.2, linestyle=(0, (2, 1)))


def draw_bar(axes: Axes, bar: Bar, span: tuple[float, float], colour: str) -> None:
    """Draw a bar from 0, or a point on a logarithmic axis, which has no 0; and the whisker.

    Args:
        axes: The panel.
        bar: The value and the ends of the whisker.
        span: Middle and height of the bar, in rows.
        colour: Colour of the bar.
    """
    place, height = span
    if axes.get_xscale() == "log":
        axes.plot([bar.value], [place], "o", color=colour, markersize=6)
    else:
        axes.barh(place, bar.value, color=colour, height=height)
    if bar.high > bar.low:
        axes.plot([bar.low, bar.high], [place, place], color=INK, linewidth=1.1)


def write_name(axes: Axes, label: str, place: float) -> None:
    """Write a row's name with its last line above `place`; the layout ignores it."""
    lines = "\n".join(fold(label))
    shown = axes.text(0, place, lines, transform=axes.get_yaxis_transform(), va="bottom")
    shown.set_in_layout(False)


def write_value(axes: Axes, text: str, place: float) -> None:
    """Write a value to the right of the plot, where neither bar nor whisker reaches it."""
    axes.annotate(
        text,
        (1, place),
        (4, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
    )


def measure(group: Group, quantity: Quantity) -> Bar | None:
    """Return a row's bar in the quantity's unit; None if the row does not have the quantity."""
    item = group.spread(quantity.column)
    if item is None:
        return None
    if quantity.is_accuracy and group.interval:
        return Bar(item.mean, *group.interval)
    sd = item.sd or 0.0
    return Bar(*(quantity.scale * end for end in (item.mean, item.mean - sd, item.mean + sd)))


def scale_values(axes: Axes, quantity: Quantity, bars: Sequence[Bar]) -> bool:
    """Set limits that contain every bar and whisker; return whether the axis is logarithmic."""
    ends = [end for bar in bars for end in bar]
    low, high = min(ends), max(ends)
    is_log = not quantity.is_accuracy and needs_log(ends)
    if is_log:
        axes.set_xscale("log")
        axes.set_xlim(low / LOG_MARGIN, high * LOG_MARGIN)
        label_log(axes.xaxis)
        return True
    margin = MARGIN * (max(high, 0.0) - min(low, 0.0))
    left = low - margin if low < 0 else 0.0
    right = max(high, 1.0) if quantity.is_accuracy else high + margin or 1.0
    axes.set_xlim(left, right)
    label_linear(axes.xaxis)
    return False


def bar_numbers(groups: Sequence[Group]) -> Table:
    """Return the table of the numbers of the bar charts."""
    rows = [
        [group.label, *(write_spread(group, quantity) for quantity in QUANTITIES)]
        for group in groups
    ]
    columns = ["row", *(quantity.title for quantity in QUANTITIES)]
    return Table(title="Numbers of the bar charts", columns=columns, rows=rows)


def write_spread(group: Group, quantity: Quantity) -> str:
    """Return `mean ± sd` in the quantity's unit, or a dash."""
    item = group.spread(quantity.column)
    if item is None:
        return "-"
    sd = item.sd * quantity.scale if item.sd else None
    return Spread(item.mean * quantity.scale, sd, item.num_values).write(quantity.form)
