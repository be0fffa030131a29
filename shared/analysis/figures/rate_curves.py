"""The loss over the learning rate, a curve for each backend, with the range that it suggests."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from .axis_scales import label_linear, label_log, linear_limits
from .drawing import PAPERS, SHADE, colour_backend, drawing, fold, mark_backends, render

# Inches, as wide as a column of text.
WIDTH, HEIGHT = 5.2, 3.3
# A curve that diverges leaves the picture above this many times its first value.
HIGHEST = 1.5


class RateCurve(NamedTuple):
    """One backend's curve; `rates` may be longer, by those that were not tried any more."""

    backend: str
    rates: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float]


def draw_rate_curves(
    curves: Sequence[RateCurve], ends: tuple[object, object], title: str
) -> Mapping[str, str]:
    """Draw all curves in one panel.

    Args:
        curves: Curves of the backends, each with one loss or more.
        ends: Lowest and highest rate of the suggested range; None: there is none.
        title: Name of the run.

    Returns:
        File name -> SVG, for light and for dark pages.
    """
    with drawing(WIDTH, HEIGHT) as figure:
        axes = figure.subplots()
        axes.set_title("\n".join(fold(title)))
        axes.grid(axis="y")
        axes.tick_params(length=0)
        for curve in curves:
            draw_curve(axes, curve)
        set_limits(axes, curves)
        draw_range(axes, ends)
        add_legend(axes, curves, ends)
        description = describe_curves(curves, ends, title)
        return {
            f"rates_{paper}.svg": render(figure, description, colours)
            for paper, colours in PAPERS.items()
        }


def draw_curve(axes: Axes, curve: RateCurve) -> None:
    """Draw the smoothed losses as a line, and the losses themselves as dots."""
    colour, rates = colour_backend(curve.backend), curve.rates[: len(curve.losses)]
    axes.plot(rates, curve.losses, ".", color=colour, markersize=2.5, alpha=0.4)
    # The second backend's line is dashed: where both agree, the first shows through.
    style = (0, (4, 2)) if curve.backend == "torch" else "solid"
    axes.plot(rates, curve.smoothed, color=colour, linewidth=1.4, linestyle=style)


def set_limits(axes: Axes, curves: Sequence[RateCurve]) -> None:
    """Set a logarithmic axis of all rates, and an axis of losses from the lowest one up."""
    axes.set_xscale("log")
    axes.set_xlim(curves[0].rates[0], curves[0].rates[-1])
    label_log(axes.xaxis)
    axes.set_xlabel("learning rate, log axis")
    losses = [loss for curve in curves for loss in curve.losses]
    first = [curve.losses[0] for curve in curves if curve.losses]
    top = min(max(losses, default=1.0), HIGHEST * max(first, default=1.0))
    axes.set_ylim(*linear_limits(min(losses, default=0.0), top))
    label_linear(axes.yaxis)
    axes.set_ylabel("loss of a batch")


def draw_range(axes: Axes, ends: tuple[object, object]) -> None:
    """Shade the suggested range, if there is one."""
    low, high = ends
    if isinstance(low, float) and isinstance(high, float):
        axes.axvspan(low, high, color=SHADE, alpha=0.16, linewidth=0)


def add_legend(axes: Axes, curves: Sequence[RateCurve], ends: tuple[object, object]) -> None:
    """Name the colours."""
    marks = mark_backends([curve.backend for curve in curves])
    patches = [Patch(color=mark.colour, label=mark.name) for mark in marks]
    if ends[0] is not None:
        patches.append(Patch(color=SHADE, alpha=0.3, label="suggested range"))
    axes.legend(handles=patches, loc="best", fontsize=8)


def describe_curves(curves: Sequence[RateCurve], ends: tuple[object, object], title: str) -> str:
    """Return the accessible name of the picture, with its numbers."""
    told = []
    for curve in curves:
        lowest = min(curve.smoothed, default=math.nan)
        place = list(curve.smoothed).index(lowest) if curve.smoothed else 0
        told.append(
            f"{curve.backend}: lowest smoothed loss {lowest:.3g} at {curve.rates[place]:.2g}"
        )
    low, high = ends
    known = f"Suggested range: {low:.2g} to {high:.2g}." if low is not None else "No range."
    return (
        f"Loss over the learning rate, {title}. {'; '.join(told)}. {known} Lines are smoothed, "
        "dots are the losses; what is far above the first loss is not shown."
    )
