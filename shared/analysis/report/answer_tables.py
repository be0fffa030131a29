"""Tables of the test answers: rates of two classes, and the figures of each class."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.two_classes import TwoClasses
from poc.shared.analysis.statistics.intervals import spread
from poc.shared.analysis.tables.table import Table
from poc.shared.analysis.verdicts.findings import mean_accuracy
from poc.shared.analysis.verdicts.rates import write_rate
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.class_metrics import ClassFigures, class_figures
from poc.shared.engine.numerics.thresholds import RATES, Rate

# Of more classes, a table has only those with the lowest F1.
MAX_CLASSES = 20


def rate_table(rows: Sequence[TwoClasses]) -> Table | None:
    """Return the table of sensitivity, specificity, PPV and NPV; None without two classes."""
    if not rows:
        return None
    positives = list(dict.fromkeys(row.positive for row in rows))
    has_several = len(positives) > 1
    cells = [
        [
            row.group.label,
            *([row.positive] if has_several else []),
            answering.name,
            *(write_rate(answering.counts.rate(name)) for name in RATES),
            write_area(row),
        ]
        for row in rows
        for answering in row.answerings
    ]
    of_class = "" if has_several else f" for “{positives[0]}”"
    return Table(
        title=f"Sensitivity and specificity{of_class}",
        columns=[
            "row",
            *(["positive"] if has_several else []),
            "answer",
            "sensitivity",
            "specificity",
            "PPV",
            "NPV",
            "area under ROC",
        ],
        rows=cells,
        note="Mean over runs, with 95 % intervals over the test images alone. PPV and NPV "
        f"are for data with the same share of positive images ({describe_shares(rows)}).",
        words=["row", "positive", "answer"],
        is_stacked=True,
    )


def write_area(row: TwoClasses) -> str:
    """Return the area under the ROC curve with its interval; a dash with one class alone."""
    if row.places is None or row.area_interval is None:
        return "-"
    return write_rate(Rate(row.places.area, *row.area_interval))


def describe_shares(rows: Sequence[TwoClasses]) -> str:
    """List the shares of positive test images."""
    return ", ".join(dict.fromkeys(f"{100 * row.share:.1f} %" for row in rows))


def class_table(group: Group) -> Table | None:
    """Return the figures of each class of a row, means over its runs; None without answers.

    Of more than 20 classes, those with the lowest F1 are shown.
    """
    names = group.data.class_names
    figures = figures_of(group)
    if not figures:
        return None
    f1 = np.array([mean(item.f1[place] for item in figures) for place in range(len(names))])
    order = np.arange(len(names))
    is_cut = len(names) > MAX_CLASSES
    if is_cut:
        order = np.argsort(f1, kind="stable")[:MAX_CLASSES]
    rows = [
        [
            names[place],
            *(
                write([getattr(item, name)[place] for item in figures])
                for name in ("precision", "recall", "f1")
            ),
            f"{mean(item.support[place] for item in figures):,.0f}",
        ]
        for place in order
    ]
    least = f"The {MAX_CLASSES} classes with the lowest F1, of {len(names):,}. " if is_cut else ""
    return Table(
        title=group.label,
        columns=["class", "precision", "recall", "F1", "test images"],
        rows=rows,
        note=f"{least}Mean ± sd over runs; a dash stands for a share of nothing. All classes are "
        "in classes.csv.",
    )


def class_tables(groups: Sequence[Group]) -> list[Table]:
    """Return the tables of the classes, that of the row with the highest accuracy first."""
    tables = [(group, class_table(group)) for group in groups]
    known = [(group, table) for group, table in tables if table is not None]
    known.sort(key=lambda pair: -mean_accuracy(pair[0]))
    return [table for _, table in known]


def figures_of(group: Group) -> list[ClassFigures]:
    """Return the figures of the classes, run by run."""
    num_classes = len(group.data.class_names)
    return [
        class_figures(run.predictions.labels, run.predictions.predicted, num_classes)
        for run in group.runs
        if run.predictions is not None
    ]


def macro_f1(item: Predictions) -> float:
    """Return the macro F1 of one run's answers."""
    return class_figures(item.labels, item.predicted, item.logits.shape[1]).macro_f1


def error_of(item: Predictions) -> float:
    """Return the expected calibration error of one run's answers."""
    return math.nan if item.is_multi_label else calibration_error(item.logits, item.labels)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are defined; NaN without any."""
    known = [float(value) for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def write(values: Sequence[float]) -> str:
    """Return `mean ± sd` of the values that are defined, or a dash."""
    known = [float(value) for value in values if not np.isnan(value)]
    return spread(known).write() if known else "-"
