"""The Pareto picture of a study: accuracy against size, latency and training time."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from poc.shared.analysis.figures.accuracy_against_cost import (
    HEIGHT,
    Cost,
    Point,
    draw_points,
    log_words,
)
from poc.shared.analysis.figures.drawing import (
    INK,
    PANEL_WIDTH,
    Picture,
    drawing,
    mark_backends,
    to_svg,
)
from poc.shared.analysis.tables.table import Table

from .decision import CandidateRow, Decision
from .pareto import Offer, pareto_front

TITLE = "Accuracy against measured cost"
COSTS = (
    Cost(column="weight_bytes", title="Size of the weights, kB", form="{:,.1f}", scale=1e-3),
    Cost(column="latency_seconds", title="Latency of one image, ms", form="{:,.2f}", scale=1e3),
    Cost(column="training_seconds", title="Training, seconds", form="{:,.1f}"),
)


def draw_pareto(decision: Decision) -> Picture | None:
    """Draw a panel for each cost that was measured for two rows; None if there is no such cost."""
    panels, num_unnamed = [], 0
    numbers = number_candidates(decision.candidates)
    for cost in COSTS:
        points = find_points(decision.candidates, cost, numbers)
        if len({point.cost for point in points}) < 2:
            continue
        with drawing(PANEL_WIDTH, HEIGHT) as figure:
            axes = figure.subplots()
            draw_front(axes, points)
            num_unnamed = max(num_unnamed, draw_points(figure, axes, points))
            axes.set_title(f"{cost.title}{log_words(axes.xaxis)}")
            panels.append(to_svg(figure, f"Test accuracy over: {cost.title}."))
    if not panels:
        return None
    return Picture(
        title=TITLE,
        panels=panels,
        legend=mark_backends([row.framework for row in decision.candidates]),
        description=describe(numbers, num_unnamed),
        table=list_numbers(decision),
    )


def number_candidates(rows: Sequence[CandidateRow]) -> dict[str, int]:
    """Number the candidates from 1 on, the most accurate row first: names are too long for panels.

    A candidate whose costs are all unknown has no point, and no number.
    """
    shown = [row for row in rows if any(getattr(row.cost, cost.column) for cost in COSTS)]
    ranked = sorted(shown, key=lambda row: -row.accuracy)
    names = dict.fromkeys(row.candidate for row in ranked)
    return {name: number for number, name in enumerate(names, start=1)}


def find_points(
    rows: Sequence[CandidateRow], cost: Cost, numbers: Mapping[str, int]
) -> list[Point]:
    """Return the rows of which the cost is known and above 0, each with its number."""
    found = []
    for row in rows:
        value = getattr(row.cost, cost.column)
        if value:
            place = (str(numbers[row.candidate]), row.framework, value * cost.scale)
            found.append(Point(*place, row.accuracy, *row.interval))
    return found


def draw_front(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the front as a staircase: the accuracy that a cost can buy."""
    front = pareto_front([Offer(item.setting, item.accuracy, item.cost) for item in points])
    costs, accuracies = [item.cost for item in front], [item.accuracy for item in front]
    # To the most expensive row, which may be off the front.
    costs.append(max(item.cost for item in points))
    accuracies.append(accuracies[-1])
    axes.step(costs, accuracies, where="post", color=INK, linewidth=0.9, alpha=0.5)


def describe(numbers: Mapping[str, int], num_unnamed: int) -> str:
    """Write the sentences below the panels."""
    names = "; ".join(f"{number} {name}" for name, number in numbers.items())
    sentences = [
        f"{names}.",
        "Points: mean test accuracy. Lines: its 95 % interval. Staircase: the Pareto front; rows "
        "below it are beaten in accuracy and cost by another row, as measured.",
    ]
    if num_unnamed:
        sentences.append(
            f"Numbers that found no room: {num_unnamed}. The table below the picture has all."
        )
    return " ".join(sentences)


def list_numbers(decision: Decision) -> Table:
    """Tabulate the numbers of the picture, one line per row."""
    rows, numbers = [], number_candidates(decision.candidates)
    for row in decision.candidates:
        values = [getattr(row.cost, cost.column) for cost in COSTS]
        rows.append(
            [
                f"{numbers.get(row.candidate, '-')} {row.candidate} {row.framework}",
                f"{row.accuracy:.4f}",
                "{:.4f} to {:.4f}".format(*row.interval),
                *(
                    "-" if value is None else cost.form.format(value * cost.scale)
                    for cost, value in zip(COSTS, values, strict=True)
                ),
            ]
        )
    return Table(
        title="Numbers of accuracy against measured cost",
        columns=["row", "test accuracy", "95 % interval", *(cost.title for cost in COSTS)],
        rows=rows,
    )
