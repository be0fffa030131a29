"""A picture of the gap: from all common habits over each one alone to all native."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from poc.shared.analysis.figures.axis_scales import MARGIN, label_linear
from poc.shared.analysis.figures.bar_charts import write_name, write_value
from poc.shared.analysis.figures.drawing import (
    INK,
    LINE,
    PANEL_WIDTH,
    SEED_COLOURS,
    Mark,
    Picture,
    drawing,
    to_svg,
)
from poc.shared.analysis.tables.table import Table

from .effects import ALONE, LEVEL, QUANTITIES, Effect, pick

LEVEL_COLOUR, HABIT_COLOUR, REST_COLOUR = SEED_COLOURS[3], SEED_COLOURS[0], SEED_COLOURS[1]
# Inches: title and ticks together, and a row with its name.
FRAME_HEIGHT, ROW_HEIGHT = 0.62, 0.4
# A bar's height and the place of its middle below the row's middle, in rows.
BAR_HEIGHT, BAR_PLACE = 0.3, 0.22
REST = "all together, beyond the sum"


class Step(NamedTuple):
    """A bar: its name, where it begins and ends, and the ends of its whisker, if it has one."""

    name: str
    start: float
    end: float
    colour: str
    whisker: tuple[float, float] | None = None

    @property
    def is_level(self) -> bool:
        """Return whether the bar shows a mean, not a change."""
        return self.colour == LEVEL_COLOUR


def list_steps(effects: Sequence[Effect], habits: Sequence[str], quantity: str) -> list[Step]:
    """Return the bars of a quantity; empty if an arm is missing."""
    start = pick(effects, "all common", LEVEL, quantity)
    end = pick(effects, "all native", LEVEL, quantity)
    alone = [(name, pick(effects, name, ALONE, quantity)) for name in habits]
    if start is None or end is None or any(found is None for _, found in alone):
        return []
    steps = [Step("all common", 0.0, start.mean, LEVEL_COLOUR, start.interval)]
    place = start.mean
    for name, found in alone:
        if found is None:
            continue
        low, high = found.interval or (found.mean, found.mean)
        whisker = (place + low, place + high) if found.interval else None
        steps.append(Step(name, place, place + found.mean, HABIT_COLOUR, whisker))
        place += found.mean
    steps.append(Step(REST, place, end.mean, REST_COLOUR))
    return [*steps, Step("all native", 0.0, end.mean, LEVEL_COLOUR, end.interval)]


def draw_waterfall(effects: Sequence[Effect], habits: Sequence[str]) -> Picture | None:
    """Draw a panel for the gap and one for its size; None if arms are missing."""
    panels, rows = [], []
    for quantity in ("gap", "size"):
        steps = list_steps(effects, habits, quantity)
        if not steps:
            return None
        with drawing(PANEL_WIDTH, FRAME_HEIGHT + ROW_HEIGHT * len(steps)) as figure:
            draw_steps(figure.subplots(), steps, capitalize(QUANTITIES[quantity]))
            panels.append(to_svg(figure, f"Waterfall of the {QUANTITIES[quantity]}."))
        rows += [[QUANTITIES[quantity], step.name, write_step(step)] for step in steps]
    return Picture(
        title="From all common to all native",
        panels=panels,
        legend=[
            Mark(LEVEL_COLOUR, "mean of an arm"),
            Mark(HABIT_COLOUR, "one habit alone"),
            Mark(REST_COLOUR, "interactions"),
        ],
        description="Means over units of the gap in test accuracy, and of its size. Each habit's "
        "bar is its effect alone, laid end to end; the last change is what remains to the mean "
        "with all habits native. Whiskers: 95 % intervals.",
        table=Table(
            title="Numbers of the picture",
            columns=["quantity", "bar", "mean or change"],
            rows=rows,
            words=["bar"],
        ),
    )


def capitalize(text: str) -> str:
    """Return the text with a capital first letter and the others unchanged."""
    return text[:1].upper() + text[1:]


def write_step(step: Step) -> str:
    """Return the value of a bar: the mean, or the change with its sign."""
    return f"{step.end:.4f}" if step.is_level else f"{step.end - step.start:+.4f}"


def draw_steps(axes: Axes, steps: Sequence[Step], title: str) -> None:
    """Draw the bars from top to bottom, each below its name and with its value at the right."""
    ends = [end for step in steps for end in (step.start, step.end, *(step.whisker or ()))]
    low, high = min(ends), max(ends)
    margin = MARGIN * (high - low) or 0.01
    axes.set_xlim(low - margin, high + margin)
    axes.set_title(title)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x")
    label_linear(axes.xaxis)
    # Pale, since it crosses the names.
    axes.axvline(0, color=LINE, linewidth=1.6, zorder=0.5)
    for index, step in enumerate(steps):
        place = index + BAR_PLACE
        write_name(axes, step.name, place - BAR_HEIGHT * 0.6)
        axes.barh(
            place, step.end - step.start, left=step.start, height=BAR_HEIGHT, color=step.colour
        )
        if step.whisker:
            axes.plot(step.whisker, [place, place], color=INK, linewidth=1.1)
        if index + 1 < len(steps) - 1:
            # A thin line carries the end of this bar to the start of the next.
            axes.plot([step.end] * 2, [place, place + 1], color=INK, linewidth=0.5, linestyle=":")
        write_value(axes, write_step(step), place)
