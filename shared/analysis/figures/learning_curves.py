"""Learning curves of every run: one panel per row, one colour per seed."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes

from poc.shared.analysis.runs.groups import Group, seed_of
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.tables.table import Table

from .axis_scales import LOG_MARGIN, label_linear, label_log, linear_limits
from .drawing import PANEL_WIDTH, SEED_COLOURS, Mark, Picture, drawing, fold, panel_height, to_svg

# If the largest values of panels differ by more than this factor, each panel has its own axis.
COMMON_RATIO = 4
# Within a panel: if the first epoch, or one of the two parts, is this many times above the rest, a
# linear axis would show the rest as a flat line.
SPAN_RATIO = 10
# Metrics between 0 and 1: always on one linear axis.
SHARES = ("accuracy",)
# Line styles of (training, validation).
STYLES = ((0, (3, 2)), "solid")
Curve = list[tuple[int, float]]
Values = tuple[list[float], list[float]]


def draw_curves(groups: Sequence[Group], metric: str) -> Picture | None:
    """Draw the panels of one metric; None if no run has it."""
    names = (f"train/{metric}", f"val/{metric}")
    values = [find_values(group, names) for group in groups]
    known = [item for item in values if any(item)]
    if not known:
        return None
    is_share = metric in SHARES
    is_common = is_share or share_axis(known)
    joined = join_values(known)
    colours = colour_seeds(groups)
    panels = []
    height = panel_height([group.label for group in groups])
    for group, own in zip(groups, values, strict=True):
        with drawing(PANEL_WIDTH, height) as figure:
            axes = figure.subplots()
            draw_panel(axes, group, names, colours)
            scale_epochs(axes, group)
            shown = joined if is_common or not any(own) else own
            scale_metric(axes, shown, is_share=is_share)
            panels.append(to_svg(figure, f"Learning curves: {metric} by epoch, {group.label}."))
    return Picture(
        title=f"Learning curves: {metric}",
        panels=panels,
        legend=mark_seeds(colours),
        description=f"{metric.capitalize()} by epoch for every run"
        f"{describe_axes(is_common=is_common) if groups[1:] else ''}. "
        f"{describe_lines(joined)}",
        table=curve_numbers(groups, metric),
    )


def describe_axes(*, is_common: bool) -> str:
    """Describe the axes of several panels, as a part of a sentence."""
    values = "one axis for all" if is_common else "an axis of its own"
    return f", one panel per row, each with epochs of its own and {values}"


def describe_lines(values: Values) -> str:
    """Describe the lines and dots that are drawn."""
    training, validation = values
    lines = ["Solid: validation"] if validation else []
    if training:
        lines.append("dashed: training" if lines else "Dashed: training")
    kept = ["dot: the epoch whose weights were kept"] if validation else []
    return "; ".join([*lines, "one colour per seed", *kept]) + "."


def find_curve(run: Run, name: str) -> Curve:
    """Return (epoch, value) of each epoch with a finite value."""
    points = [(line["epoch"], line.get(name)) for line in run.epochs]
    return [(epoch, value) for epoch, value in points if value is not None and math.isfinite(value)]


def find_values(group: Group, names: tuple[str, str]) -> Values:
    """Return all finite values of a row in training and in validation."""
    training, validation = (
        [value for run in group.runs for _, value in find_curve(run, name)] for name in names
    )
    return training, validation


def join_values(values: Sequence[Values]) -> Values:
    """Join the values of several rows."""
    training, validation = ([value for item in values for value in item[part]] for part in (0, 1))
    return training, validation


def share_axis(values: Sequence[Values]) -> bool:
    """Return whether the largest values of all rows are close enough for one axis."""
    largest = [max(own) for item in values for own in item if own]
    return max(largest) <= COMMON_RATIO * min(largest)


def scale_metric(axes: Axes, values: Values, *, is_share: bool) -> None:
    """Set limits that contain all values, on a logarithmic axis if a linear one hides details."""
    everything = [*values[0], *values[1]]
    low, high = min(everything), max(everything)
    typical = min([median(everything), *(max(own) for own in values if own)])
    if not is_share and low > 0 and high > SPAN_RATIO * typical:
        axes.set_yscale("log")
        axes.set_ylim(low / LOG_MARGIN, high * LOG_MARGIN)
        label_log(axes.yaxis)
        axes.set_ylabel("log axis")
    else:
        axes.set_ylim(*linear_limits(low, high))
        label_linear(axes.yaxis)


def scale_epochs(axes: Axes, group: Group) -> None:
    """Set the axis of epochs to those of the row, with ticks at integers."""
    epochs = [line["epoch"] for run in group.runs for line in run.epochs]
    # Half an epoch of space, so that there is no tick at epoch 0, which did not exist.
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    label_linear(axes.xaxis, is_whole=True)
    axes.set_xlabel("epoch")


def colour_seeds(groups: Sequence[Group]) -> Mapping[int, str]:
    """Return seed -> colour, the same in every panel; with many seeds colours are repeated."""
    seeds = sorted({seed_of(run) for group in groups for run in group.runs})
    return {seed: SEED_COLOURS[place % len(SEED_COLOURS)] for place, seed in enumerate(seeds)}


def mark_seeds(colours: Mapping[int, str]) -> list[Mark]:
    """Return the legend of the seeds; empty for one seed, or if seeds share a colour."""
    if not 1 < len(colours) <= len(SEED_COLOURS):
        return []
    return [Mark(colour, f"seed {seed}") for seed, colour in colours.items()]


def draw_panel(
    axes: Axes, group: Group, names: tuple[str, str], colours: Mapping[int, str]
) -> None:
    """Draw the curves of one row."""
    axes.set_title("\n".join(fold(group.label)))
    axes.grid(axis="y")
    axes.tick_params(length=0)
    for run in group.runs:
        colour = colours[seed_of(run)]
        for name, style in zip(names, STYLES, strict=True):
            points = find_curve(run, name)
            if not points:
                continue
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
    """Return the table of the first, kept and last value of each curve."""
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
        f"{part}, {place}"
        for part in ("training", "validation")
        for place in ("first", "kept", "last")
    ]
    return Table(
        title=f"Numbers of the learning curves: {metric}",
        columns=["row", "seed", "kept epoch", *places],
        rows=rows,
        note="Every epoch is in curves.csv.",
    )
