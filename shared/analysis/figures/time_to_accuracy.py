"""Validation accuracy over seconds: the cost of a row's accuracy in time."""

from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.tables.table import Table

from .axis_scales import label_linear, linear_limits, share_limits
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

METRIC = "val/accuracy"
# The table gives the time to this share of the best accuracy that every run reaches.
SHARE = 0.98
Curve = list[tuple[float, float]]


def time_curve(run: Run) -> Curve:
    """Return, per epoch, seconds since the first epoch began and best accuracy so far."""
    names = (METRIC, "epoch_seconds")
    lines = [line for line in run.epochs if all(line.get(name) is not None for name in names)]
    seconds = accumulate(line["epoch_seconds"] for line in lines)
    best = accumulate((line[METRIC] for line in lines), max)
    return list(zip(seconds, best, strict=True))


def seconds_to_reach(run: Run, accuracy: float) -> float | None:
    """Return the seconds after which the validation accuracy was reached; None if never."""
    return next((seconds for seconds, reached in time_curve(run) if reached >= accuracy), None)


def draw_time_to_accuracy(groups: Sequence[Group]) -> Picture | None:
    """Draw every run's curve, one panel per setting; None without a validation part."""
    curves = [(group, run, time_curve(run)) for group in groups for run in group.runs]
    curves = [item for item in curves if item[2]]
    if not curves:
        return None
    goal = SHARE * min(curve[-1][1] for *_, curve in curves)
    accuracies = [accuracy for *_, curve in curves for _, accuracy in curve]
    settings: dict[str, list[tuple[str, Curve]]] = {}
    for group, _, curve in curves:
        settings.setdefault(name_setting(group), []).append((group.backend, curve))
    panels = []
    for name, members in settings.items():
        with drawing(PANEL_WIDTH, panel_height(list(settings))) as figure:
            axes = figure.subplots()
            draw_setting(axes, name, members)
            axes.set_ylim(*share_limits(min(accuracies), max(accuracies)))
            label_linear(axes.yaxis)
            panels.append(to_svg(figure, f"Validation accuracy over seconds, {name}."))
    return Picture(
        title="Time to accuracy",
        panels=panels,
        legend=mark_backends([group.backend for group, *_ in curves]),
        description=f"Best validation accuracy so far over seconds of training and validation, for "
        f"{len(curves)} runs. One panel per setting, one line per run, colours by backend. Each "
        "panel has seconds of its own. Import and model build are not included.",
        table=time_numbers([(group, run) for group, run, _ in curves], goal),
    )


def name_setting(group: Group) -> str:
    """Return the row's label without its backend."""
    words = [word for word in group.label.split() if word != group.backend]
    return " ".join(words) or group.label


def draw_setting(axes: Axes, name: str, members: Sequence[tuple[str, Curve]]) -> None:
    """Draw the runs of one setting."""
    axes.set_title("\n".join(fold(name)))
    axes.grid(axis="y")
    axes.tick_params(length=0)
    for backend, curve in members:
        marker = "." if len(curve) == 1 else None
        axes.step(
            *zip(*curve, strict=True),
            where="post",
            color=colour_backend(backend),
            linewidth=1.1,
            marker=marker,
        )
    axes.set_xlim(0, linear_limits(0, max(curve[-1][0] for _, curve in members))[1])
    label_linear(axes.xaxis)
    axes.set_xlabel("seconds")


def time_numbers(runs: Sequence[tuple[Group, Run]], goal: float) -> Table:
    """Return the table of each run's seconds to an accuracy that all of them reach."""
    rows = []
    for group, run in runs:
        seconds = seconds_to_reach(run, goal)
        reached = "never" if seconds is None else f"{seconds:,.1f}"
        rows.append([group.label, str(run.row["seed"]), reached])
    return Table(
        title=f"Seconds to a validation accuracy of {goal:.4f}",
        columns=("row", "seed", "seconds"),
        rows=rows,
        note=f"The accuracy is {SHARE:.0%} of the best that the weakest run reached.",
    )
