"""Validation accuracy over seconds: what a row's accuracy costs in time."""

from collections.abc import Sequence
from itertools import accumulate

from .figures import BACKEND_COLOURS, SEED_COLOURS, Picture, Table, drawing, shorten, to_svg
from .groups import Group
from .runs import Run

METRIC = "val/accuracy"
# The accuracy whose time stands in the table, as a share of what every run reaches at its best.
SHARE = 0.98


def time_curve(run: Run) -> list[tuple[float, float]]:
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
    """Every run's curve, the backends in their colours; none without a validation part."""
    curves = [(group, run, time_curve(run)) for group in groups for run in group.runs]
    curves = [item for item in curves if item[2]]
    if not curves:
        return None
    goal = SHARE * min(curve[-1][1] for *_, curve in curves)
    description = f"Best validation accuracy so far over seconds, for {len(curves)} runs."
    with drawing(9, 4) as figure:
        axes = figure.subplots()
        axes.set_xlabel("seconds of training and validation")
        axes.set_ylabel("best validation accuracy so far")
        axes.grid(axis="y")
        for group, _, curve in curves:
            colour = BACKEND_COLOURS.get(group.backend, SEED_COLOURS[0])
            axes.step(*zip(*curve, strict=True), where="post", color=colour, linewidth=1.1)
            axes.annotate(
                shorten(group.label, 24),
                curve[-1],
                (3, 0),
                fontsize=7,
                va="center",
                textcoords="offset points",
            )
        svg = to_svg(figure, description)
    return Picture(
        title="Time to accuracy",
        svg=svg,
        description=f"{description} One line a run; import and model build are left out.",
        table=time_numbers([(group, run) for group, run, _ in curves], goal),
    )


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
