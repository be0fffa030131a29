"""Validation accuracy over seconds: what a row's accuracy costs in time."""

import math
from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes

from .figures import BACKEND_COLOURS, SEED_COLOURS, Picture, Table, drawing, shorten, to_svg
from .groups import Group
from .runs import Run

METRIC = "val/accuracy"
# The accuracy whose time stands in the table, as a share of what every run reaches at its best.
SHARE = 0.98
Curve = list[tuple[float, float]]


def time_curve(run: Run) -> Curve:
    """(seconds since the first epoch began, best validation accuracy so far) after each epoch."""
    names = (METRIC, "epoch_seconds")
    lines = [line for line in run.epochs if all(line.get(name) is not None for name in names)]
    seconds = accumulate(line["epoch_seconds"] for line in lines)
    best = accumulate((line[METRIC] for line in lines), max)
    return list(zip(seconds, best, strict=True))


def seconds_to_reach(run: Run, accuracy: float) -> float | None:
    """Seconds after which the validation accuracy was there first; none: never."""
    return next((seconds for seconds, reached in time_curve(run) if reached >= accuracy), None)


def draw_time_to_accuracy(groups: Sequence[Group]) -> Picture | None:
    """Every run's curve: a panel a setting, both backends in it; none without a validation part."""
    curves = [(group, run, time_curve(run)) for group in groups for run in group.runs]
    curves = [item for item in curves if item[2]]
    if not curves:
        return None
    goal = SHARE * min(curve[-1][1] for *_, curve in curves)
    panels: dict[str, list[tuple[str, Curve]]] = {}
    for group, _, curve in curves:
        panels.setdefault(name_setting(group), []).append((group.backend, curve))
    columns = min(4, len(panels))
    lines = math.ceil(len(panels) / columns)
    description = f"Best validation accuracy so far over seconds, for {len(curves)} runs."
    with drawing(max(4.5, 2.8 * columns), 0.9 + 2.2 * lines) as figure:
        figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, (name, members) in zip(figure.axes, panels.items(), strict=False):
            draw_setting(axes, name, members)
        for axes in figure.axes[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("seconds of training and validation", fontsize=9)
        svg = to_svg(figure, description)
    return Picture(
        title="Time to accuracy",
        svg=svg,
        description=f"{description} One panel a setting, one line a run, the backends in their "
        "colours; each panel has seconds of its own. Import and model build are left out.",
        table=time_numbers([(group, run) for group, run, _ in curves], goal),
    )


def name_setting(group: Group) -> str:
    """The row's label without its backend."""
    words = [word for word in group.label.split() if word != group.backend]
    return " ".join(words) or group.label


def draw_setting(axes: Axes, name: str, members: Sequence[tuple[str, Curve]]) -> None:
    """One setting's runs."""
    axes.set_title(shorten(name, 34))
    axes.grid(axis="y")
    axes.tick_params(length=0)
    named = set()
    for backend, curve in members:
        axes.step(
            *zip(*curve, strict=True),
            where="post",
            color=BACKEND_COLOURS.get(backend, SEED_COLOURS[0]),
            linewidth=1.1,
            label=None if backend in named else backend,
        )
        named.add(backend)
    axes.set_xlim(left=0)
    axes.legend(loc="lower right", fontsize=7, frameon=False)


def time_numbers(runs: Sequence[tuple[Group, Run]], goal: float) -> Table:
    """Seconds of each run to an accuracy that all of them reach."""
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
