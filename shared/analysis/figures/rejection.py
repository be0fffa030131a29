"""Rejection curves: the accuracy over the share of images that are answered, the surest first."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from poc.shared.analysis.runs.confidence import Confidence
from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.statistics.intervals import spread
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.numerics.rejection import RejectionCurve

from .axis_scales import label_linear, linear_limits
from .drawing import (
    PANEL_WIDTH,
    Picture,
    colour_backend,
    drawing,
    fold,
    mark_backends,
    panel_height,
    to_svg,
)
from .time_to_accuracy import name_setting

# Shares of the table; the picture and rejection.csv have each percent.
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
PERCENTS: NDArray[np.float64] = np.arange(1, 101) / 100
# An accuracy of fewer answers jumps with each of them.
MIN_ANSWERED = 20
Rows = Sequence[tuple[Group, Confidence]]


def draw_rejection(known: Rows) -> Picture | None:
    """Draw a panel per setting and a line per run; None if no row was tested."""
    if not known:
        return None
    settings: dict[str, list[tuple[Group, Confidence]]] = {}
    for group, item in known:
        settings.setdefault(name_setting(group), []).append((group, item))
    drawn = [read_curve(curve, len(item.hits[0]))[1] for _, item in known for curve in item.curves]
    limits = linear_limits(min(min(own) for own in drawn), max(max(own) for own in drawn))
    panels = []
    for name, members in settings.items():
        with drawing(PANEL_WIDTH, panel_height(list(settings))) as figure:
            axes = figure.subplots()
            draw_setting(axes, name, members)
            axes.set_ylim(*limits)
            label_linear(axes.yaxis)
            panels.append(to_svg(figure, f"Rejection curve, {name}."))
    return Picture(
        title="Rejection: accuracy over the share that is answered",
        panels=panels,
        legend=mark_backends([group.backend for group, _ in known]),
        description="The accuracy of the answers if only the most confident ones are given, from "
        f"all images at the left to fewer at the right. One panel per setting, one line per run; "
        f"shares of fewer than {MIN_ANSWERED} images are not drawn.",
        table=rejection_table(known),
    )


def read_curve(curve: RejectionCurve, num_images: int) -> tuple[NDArray[np.float64], list[float]]:
    """Return the shares (K,) of enough images, by percents, and the accuracy at each."""
    shares = PERCENTS[PERCENTS * num_images >= min(MIN_ANSWERED, num_images)]
    return shares, [curve.accuracy_at(float(share)) for share in shares]


def draw_setting(axes: Axes, name: str, members: Rows) -> None:
    """Draw the runs of one setting."""
    axes.set_title("\n".join(fold(name)))
    axes.grid()
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for group, item in members:
        for curve, hits in zip(item.curves, item.hits, strict=True):
            shares, accuracies = read_curve(curve, len(hits))
            marker = "." if len(shares) == 1 else None
            colour = colour_backend(group.backend)
            axes.plot(shares, accuracies, color=colour, linewidth=1.2, marker=marker)
    axes.set_xlim(1.02, -0.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.set_xlabel("images that are answered")
    axes.set_ylabel("accuracy")


def rejection_table(known: Rows) -> Table:
    """Return the table of accuracies at some shares."""
    rows = [
        [
            group.label,
            *(
                spread([curve.accuracy_at(share) for curve in item.curves]).write()
                for share in SHARES
            ),
        ]
        for group, item in known
    ]
    return Table(
        title="Accuracy if a share of the images is answered",
        columns=["row", *(f"{100 * share:.0f} %" for share in SHARES)],
        rows=rows,
        note="Mean ± sd over runs. Each percent is in rejection.csv.",
    )
