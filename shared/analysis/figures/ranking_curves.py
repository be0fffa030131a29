"""ROC and precision-recall curves: of two classes run by run, of more classes one against the rest.

With more than two classes a panel has a line per class, the mean over the runs of a row, and names
those with the smallest areas. With more than 20, nothing is drawn; classes.csv has the areas.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from poc.shared.analysis.runs.class_areas import ClassAreas
from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.two_classes import TwoClasses
from poc.shared.analysis.statistics.intervals import spread
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.numerics.ranking import (
    Curve,
    average_precision,
    precision_recall_curve,
    roc_curve,
    thin,
)
from poc.shared.engine.numerics.scores import Scores, Truths, log_odds
from poc.shared.engine.numerics.thresholds import AnswerCounts

from .axis_scales import label_linear
from .drawing import (
    INK,
    LINE_HEIGHT,
    PANEL_WIDTH,
    SEED_COLOURS,
    Mark,
    Picture,
    colour_backend,
    drawing,
    fold,
    mark_backends,
    shorten,
    to_svg,
    write_heading,
)
from .time_to_accuracy import name_setting

MAX_DRAWN_CLASSES, NUM_NAMED = 20, 3
# The colour of the classes that are not named.
OTHERS = SEED_COLOURS[3]
# Inches of a panel, without its title: the axes are square.
HEIGHT = 3.7
# A panel has up to 20 of these lines, each with about as many points.
NUM_POINTS = 60
# Places at which the curves of several runs are averaged.
GRID: NDArray[np.float64] = np.linspace(0, 1, 201)
Rows = Sequence[tuple[Group, ClassAreas]]


class Kind(NamedTuple):
    """A kind of curve: its title, and the titles of its axes."""

    title: str
    x: str
    y: str
    is_roc: bool

    @property
    def axes(self) -> str:
        """Return the axes as the start of a sentence."""
        return f"{self.y[0].upper()}{self.y[1:]} over {self.x}"

    def make(self, scores: Scores, truths: Truths) -> Curve | None:
        """Return the curve of scores (N,) and truths (N,); None with one class alone."""
        make = roc_curve if self.is_roc else precision_recall_curve
        return make(scores, truths)

    def draw(self, axes: Axes, curve: Curve, colour: str, width: float) -> None:
        """Draw a curve: a ROC as lines between its points, a precision as steps."""
        if self.is_roc:
            axes.plot(curve.x, curve.y, color=colour, linewidth=width)
            return
        # A precision belongs to the step of the recall that ends there.
        x, y = np.append(0.0, curve.x), np.append(curve.y[0], curve.y)
        axes.step(x, y, where="pre", color=colour, linewidth=width)

    def locate(self, counts: AnswerCounts) -> tuple[float, float] | None:
        """Return the place of some answers on the curve; None if one of its shares is of none."""
        sensitivity, specificity, ppv = (
            counts.rate(name).value for name in ("sensitivity", "specificity", "ppv")
        )
        if sensitivity is None or specificity is None:
            return None
        if self.is_roc:
            return 1 - specificity, sensitivity
        return None if ppv is None else (sensitivity, ppv)


ROC = Kind("ROC curves", "1 - specificity", "sensitivity", True)
PRECISION = Kind("Precision over recall", "sensitivity (recall)", "precision (PPV)", False)
KINDS = (ROC, PRECISION)


def draw_two_classes(rows: Sequence[TwoClasses], kind: Kind) -> Picture | None:
    """Draw a panel per setting, a line per run and a mark at its answers; None without rows."""
    known = [row for row in rows if row.places is not None]
    if not known:
        return None
    settings: dict[str, list[TwoClasses]] = {}
    for row in known:
        settings.setdefault(name_setting(row.group), []).append(row)
    panels = []
    for name, members in settings.items():
        with drawing(PANEL_WIDTH, panel_height(list(settings))) as figure:
            axes = figure.subplots()
            write_heading(axes, name)
            frame(axes, kind)
            draw_ignorance(axes, kind, members[0].share)
            for row in members:
                draw_runs(axes, row, kind)
            panels.append(to_svg(figure, f"{kind.title}, {name}."))
    positives = " or ".join(dict.fromkeys(f"“{row.positive}”" for row in known))
    dashed = "answers by chance" if kind.is_roc else "the share of positive images"
    has_decision = any(len(row.answerings) > 1 for row in known)
    return Picture(
        title=kind.title,
        panels=panels,
        legend=mark_backends([row.group.backend for row in known]),
        description=f"{kind.axes} at every threshold; positive is "
        f"{positives}. One panel per setting, one line per run. Dots: answers with the more "
        f"probable class{'; diamonds: answers with the chosen threshold' if has_decision else ''}. "
        f"Dashed: {dashed}.",
        table=area_table(known),
    )


def panel_height(titles: Sequence[str]) -> float:
    """Return the inches of a panel with the longest title, for equally high panels."""
    return HEIGHT + LINE_HEIGHT * max(len(fold(title)) for title in titles)


def frame(axes: Axes, kind: Kind) -> None:
    """Draw square axes from 0 to 1."""
    axes.grid()
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        label_linear(axis)
    axes.set_xlabel(kind.x)
    axes.set_ylabel(kind.y)


def draw_ignorance(axes: Axes, kind: Kind, share: float) -> None:
    """Draw the dashed line of a network that knows nothing: `share` of the images are positive."""
    ends = [0.0, 1.0] if kind.is_roc else [share, share]
    axes.plot([0, 1], ends, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))


def draw_runs(axes: Axes, row: TwoClasses, kind: Kind) -> None:
    """Draw the curve of each run, and the places of its answers on it."""
    colour = colour_backend(row.group.backend)
    for run, item in row.tested:
        truths = item.labels == row.position
        curve = kind.make(log_odds(item.logits, row.position), truths)
        if curve is None:
            continue
        kind.draw(axes, thin(curve), colour, 1.3)
        marks = {"o": item.predicted}
        if run.decision and run.decision.threshold:
            marks["D"] = run.decision.answer(item.logits)
        for marker, answers in marks.items():
            place = kind.locate(AnswerCounts.of(answers == row.position, truths))
            if place:
                axes.plot(*place, marker, color=colour, markersize=5)


def area_table(rows: Sequence[TwoClasses]) -> Table:
    """Return the table of the areas of two classes."""
    cells = []
    for row in rows:
        curves = [
            precision_recall_curve(log_odds(item.logits, row.position), item.labels == row.position)
            for _, item in row.tested
        ]
        precisions = spread([average_precision(curve) for curve in curves if curve])
        interval, area = row.area_interval, row.places.area if row.places else None
        cells.append(
            [
                row.group.label,
                row.positive,
                "-" if area is None else f"{area:.4f}",
                f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
                precisions.write(),
                f"{row.share:.4f}",
            ]
        )
    return Table(
        title="Areas under the curves",
        columns=[
            "row", "positive", "area under ROC", "95 % interval", "average precision",
            "share of positive images",
        ],
        rows=cells,
        note="The area under ROC is a mean over runs, with Newcombe's interval over the test "
        "images alone.",
        words=["row", "positive"],
    )  # fmt: skip


def draw_many_classes(rows: Rows, kind: Kind) -> Picture | None:
    """Draw a panel per row with a line per class against the rest; None if there is none."""
    shown = [(group, areas) for group, areas in rows if is_drawn(group)]
    if not shown:
        return None
    height = panel_height([group.label for group, _ in shown])
    panels = []
    for group, areas in shown:
        with drawing(PANEL_WIDTH, height) as figure:
            axes = figure.subplots()
            frame(axes, kind)
            draw_classes(axes, group, areas, kind)
            panels.append(to_svg(figure, f"{kind.title}, {group.label}."))
    is_by_label = all(group.is_multi_label for group, _ in shown)
    against = "one label against its absence" if is_by_label else "one class against the rest"
    return Picture(
        title=f"{kind.title}, {against}",
        panels=panels,
        description=f"{kind.axes} at every threshold, one panel per row and one line per class, a "
        f"mean over runs. Colours: the {NUM_NAMED} with the smallest areas; grey: the others.",
        table=least_table(shown, kind),
    )


def is_drawn(group: Group) -> bool:
    """Return whether a row has more than two classes, and few enough for lines."""
    least = 1 if group.is_multi_label else 2
    return least < len(group.data.class_names) <= MAX_DRAWN_CLASSES


def draw_classes(axes: Axes, group: Group, areas: ClassAreas, kind: Kind) -> None:
    """Draw the mean curve of each class, the least ones in colours and with their names."""
    ranked = areas.least(is_roc=kind.is_roc)
    colours = dict(zip(ranked, SEED_COLOURS[:NUM_NAMED], strict=False))
    for place in reversed(ranked):
        curve = mean_curve(group, place, kind)
        if curve is not None:
            is_named = place in colours
            # Lines and not steps: of a mean over runs the steps are too small to see.
            width = 1.5 if is_named else 0.6
            axes.plot(curve.x, curve.y, color=colours.get(place, OTHERS), linewidth=width)
    names = group.data.class_names
    words = [Mark(colour, shorten(names[place], 15)) for place, colour in colours.items()]
    write_heading(axes, group.label, words)


def mean_curve(group: Group, place: int, kind: Kind) -> Curve | None:
    """Return the curve of a class against the rest, a mean over the runs at equal x."""
    made = [
        kind.make(run.predictions.scores(place), run.predictions.truths(place))
        for run in group.runs
        if run.predictions is not None
    ]
    curves = [curve for curve in made if curve is not None]
    if len(curves) < 2:
        return thin(curves[0], NUM_POINTS) if curves else None
    heights = [read_curve(curve, is_roc=kind.is_roc) for curve in curves]
    means = np.mean(heights, axis=0)
    # A ROC rises from 0 at its first place, which the mean of the highest points there hides.
    x, y = np.append(0.0, GRID), np.append(0.0 if kind.is_roc else means[0], means)
    return thin(Curve(x, y, x), NUM_POINTS)


def read_curve(curve: Curve, *, is_roc: bool) -> Scores:
    """Return the heights (G,) of a curve at the places of the grid, as it is drawn."""
    if is_roc:
        # Of several points at one x, the last is the highest.
        last = np.append(np.diff(curve.x) > 0, True)
        return np.asarray(np.interp(GRID, curve.x[last], curve.y[last]))
    places = np.searchsorted(curve.x, GRID, side="left")
    return np.asarray(curve.y[np.minimum(places, len(curve.y) - 1)])


def least_table(shown: Rows, kind: Kind) -> Table:
    """Return the table of the mean area of each row and of its least class."""
    cells = []
    for group, areas in shown:
        values = areas.of(is_roc=kind.is_roc)
        least = areas.least(is_roc=kind.is_roc)[0]
        name = group.data.class_names[least]
        cells.append([group.label, f"{np.nanmean(values):.4f}", name, f"{values[least]:.4f}"])
    area = "area under ROC" if kind.is_roc else "average precision"
    return Table(
        title=f"Areas: {area}",
        columns=["row", "mean over classes", "least class", "its area"],
        rows=cells,
        note="Means over runs. classes.csv has the area of every class.",
        words=["row", "least class"],
    )
