"""CSV files about the test answers: each class, rates of two classes, reliability, rejection."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from poc.shared.analysis.figures.rejection import PERCENTS
from poc.shared.analysis.runs.class_areas import ClassAreas
from poc.shared.analysis.runs.confidence import Confidence
from poc.shared.analysis.runs.groups import Group, seed_of
from poc.shared.analysis.runs.two_classes import TwoClasses
from poc.shared.engine.numerics.calibration import NUM_BINS, Bins
from poc.shared.engine.numerics.thresholds import RATES

from .answer_tables import figures_of, mean
from .answered import Answered

CLASS_COLUMNS = (
    "row", "class", "precision", "recall", "f1", "support", "area_under_roc", "average_precision",
)  # fmt: skip
RATE_COLUMNS = (
    "row", "positive", "answer",
    *(f"{name}{end}" for name in RATES for end in ("", "_low", "_high")),
    "accuracy", "area_under_roc", "area_under_roc_low", "area_under_roc_high",
)  # fmt: skip
BIN_COLUMNS = (
    "row", "temperature", "bin_low", "bin_high", "answers", "mean_confidence", "accuracy",
)  # fmt: skip
REJECTION_COLUMNS = ("row", "seed", "answered", "accuracy")


def answer_files(groups: Sequence[Group], answered: Answered) -> dict[str, str]:
    """Return the CSV files: file name -> content; a file without lines has its header."""
    areas = {group.label: own for group, own in answered.areas}
    classes = [line for group in groups for line in class_lines(group, areas.get(group.label))]
    frames = {
        "classes.csv": pd.DataFrame(classes, columns=CLASS_COLUMNS),
        "rates.csv": pd.DataFrame(rate_lines(answered.two_classes), columns=RATE_COLUMNS),
        "reliability.csv": pd.DataFrame(bin_lines(answered.confidences), columns=BIN_COLUMNS),
        "rejection.csv": pd.DataFrame(
            rejection_lines(answered.confidences), columns=REJECTION_COLUMNS
        ),
    }
    return {name: frame.to_csv(index=False) for name, frame in frames.items()}


def class_lines(group: Group, areas: ClassAreas | None) -> Iterator[tuple[object, ...]]:
    """Yield a line per class of a row: means over its runs; blank where not defined."""
    figures = figures_of(group)
    for place, name in enumerate(group.data.class_names if figures else ()):
        shares = (
            mean(getattr(item, kind)[place] for item in figures)
            for kind in ("precision", "recall", "f1", "support")
        )
        ends = (areas.roc[place], areas.precision[place]) if areas else (None, None)
        yield (group.label, name, *shares, *ends)


def rate_lines(rows: Sequence[TwoClasses]) -> Iterator[dict[str, object]]:
    """Yield a line per row and way to answer."""
    for row in rows:
        low, high = row.area_interval or (None, None)
        area = row.places.area if row.places else None
        for answering in row.answerings:
            yield {
                "row": row.group.label,
                "positive": row.positive,
                "answer": answering.name,
                **answering.counts.describe(),
                "accuracy": answering.counts.accuracy,
                "area_under_roc": area,
                "area_under_roc_low": low,
                "area_under_roc_high": high,
            }


def bin_lines(known: Sequence[tuple[Group, Confidence]]) -> Iterator[tuple[object, ...]]:
    """Yield a line per bin of each row, as trained and with the temperature of decisions."""
    for group, item in known:
        yield from lines_of_bins(group, "as trained", item.bins)
        if item.scaled:
            yield from lines_of_bins(group, "scaled", item.scaled)


def lines_of_bins(group: Group, when: str, bins: Bins) -> Iterator[tuple[object, ...]]:
    """Yield a line per bin."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    for place, values in enumerate(zip(*bins, strict=True)):
        yield (group.label, when, edges[place], edges[place + 1], *values)


def rejection_lines(known: Sequence[tuple[Group, Confidence]]) -> Iterator[tuple[object, ...]]:
    """Yield a line per percent of each run."""
    for group, item in known:
        tested = [run for run in group.runs if run.predictions is not None]
        for run, curve in zip(tested, item.curves, strict=True):
            for share in PERCENTS.tolist():
                yield (group.label, seed_of(run), share, curve.accuracy_at(share))
