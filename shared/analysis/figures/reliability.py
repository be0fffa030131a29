"""Reliability diagrams: the accuracy of answers over their confidence, in 15 equal bins."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from poc.shared.analysis.runs.confidence import Confidence
from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.numerics.calibration import NUM_BINS, Bins
from poc.shared.engine.numerics.metrics import wilson_interval

from .axis_scales import label_linear
from .drawing import (
    INK,
    LINE,
    PANEL_WIDTH,
    SEED_COLOURS,
    SHADE,
    Mark,
    Picture,
    drawing,
    to_svg,
    write_heading,
)
from .ranking_curves import panel_height

SCALED = SEED_COLOURS[1]
# Height of the tallest bar of the shares of images.
BAR = 0.16


def draw_reliability(known: Sequence[tuple[Group, Confidence]]) -> Picture | None:
    """Draw a panel per row, over all its runs; None if no row was tested."""
    if not known:
        return None
    height = panel_height([group.label for group, _ in known])
    panels = []
    for group, item in known:
        with drawing(PANEL_WIDTH, height) as figure:
            axes = figure.subplots()
            draw_panel(axes, group, item)
            panels.append(to_svg(figure, f"Reliability diagram, {group.label}."))
    is_scaled = any(item.scaled for _, item in known)
    marks = [Mark(SHADE, "as trained"), Mark(SCALED, "with the temperature")]
    return Picture(
        title="Reliability: accuracy over confidence",
        panels=panels,
        legend=marks if is_scaled else (),
        description="The confidence of an answer is the probability of its class. Dots: the "
        f"accuracy of the answers in each of {NUM_BINS} bins of equal width, over all runs of a "
        "row, with Wilson's 95 % interval. On the dashed line, confidence and accuracy agree; "
        "below it, the network is too sure. Error: the expected calibration error. Bars: the share "
        "of answers in each bin.",
        table=calibration_table(known),
    )


def draw_panel(axes: Axes, group: Group, item: Confidence) -> None:
    """Draw the diagonal, the shares of answers as bars, and the bins as dots with whiskers."""
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.grid()
    width = 1 / NUM_BINS
    shares = item.bins.counts / item.bins.counts.sum()
    middles = (np.arange(NUM_BINS) + 0.5) * width
    axes.bar(middles, BAR * shares / shares.max(), width=0.86 * width, color=LINE)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    draw_bins(axes, item.bins, item.num_runs, SHADE)
    if item.scaled:
        draw_bins(axes, item.scaled, item.num_runs, SCALED)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        label_linear(axis)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    words = [Mark(SHADE, f"error {item.errors.write('{:.3f}')}")]
    if item.scaled_errors:
        words.append(Mark(SCALED, f"scaled {item.scaled_errors.write('{:.3f}')}"))
    write_heading(axes, group.label, words)


def draw_bins(axes: Axes, bins: Bins, num_runs: int, colour: str) -> None:
    """Draw the bins that have answers; further runs on the same images narrow no interval."""
    filled = np.flatnonzero(bins.counts)
    x, y = bins.confidence[filled], bins.accuracy[filled]
    for place, confidence in zip(filled, x, strict=True):
        count = bins.counts[place] / num_runs
        ends = wilson_interval(bins.accuracy[place] * count, count)
        axes.plot([confidence, confidence], ends, color=colour, linewidth=0.9, alpha=0.7)
    axes.plot(x, y, "o-", color=colour, linewidth=1.1, markersize=3.5)


def calibration_table(known: Sequence[tuple[Group, Confidence]]) -> Table:
    """Return the table of calibration errors and mean confidences."""
    is_scaled = any(item.scaled_errors for _, item in known)
    rows = [
        [
            group.label,
            item.errors.write(),
            *([item.scaled_errors.write() if item.scaled_errors else "-"] if is_scaled else []),
            f"{item.mean_confidence:.4f}",
            f"{item.accuracy:.4f}",
        ]
        for group, item in known
    ]
    return Table(
        title="Calibration errors",
        columns=[
            "row",
            "expected calibration error",
            *(["with the temperature"] if is_scaled else []),
            "mean confidence",
            "accuracy",
        ],
        rows=rows,
        note="Mean ± sd over runs. The bins are in reliability.csv.",
    )
