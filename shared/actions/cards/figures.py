"""Figures of a card: test answers of one network, with intervals over the test images."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from poc.shared.analysis.report.answer_tables import MAX_CLASSES, rate_table
from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.runs.two_classes import find_two_classes
from poc.shared.analysis.tables.decisions import AREA_TITLE, CALIBRATION_TITLE, describe_decision
from poc.shared.analysis.tables.markdown import markdown_table
from poc.shared.analysis.tables.table import Table
from poc.shared.analysis.verdicts.findings import baseline
from poc.shared.engine.folder.decision import Decision
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.class_metrics import ClassFigures, class_figures
from poc.shared.engine.numerics.metrics import SHARES, wilson_interval
from poc.shared.engine.summary.answer_columns import AREA

from .paragraphs import facts, heading, paragraphs
from .subject import Subject

TITLE = "Figures on the test part"


def write_figures(subject: Subject) -> Iterator[str]:
    """Yield the lines of the section, also if there is nothing to measure."""
    run, found = subject.finished, subject.predictions
    if run is None or found is None:
        yield from heading(TITLE)
        yield from paragraphs([explain_absence(subject)])
        return
    yield from facts(TITLE, describe_part(subject, run, found))
    yield from paragraphs(
        [
            "Intervals are 95 % intervals (Wilson's) over these test images alone. Another seed of "
            "the training would move the figures too."
        ]
    )
    yield from write_rates(subject)
    yield from markdown_table(tabulate_classes(subject, found), 3)
    if run.decision is not None:
        yield from heading("Decision", 3)
        yield from paragraphs(describe_decision(run.decision))


def explain_absence(subject: Subject) -> str:
    """Return why there are no figures."""
    if subject.finished is None:
        return f"There are no figures, since the run is not complete. {subject.reason}"
    if not subject.finished.record.data.counts.get("test"):
        return "There are no figures, since the run has no test part."
    return "There are no figures, since the run folder has no predictions.npz."


def describe_part(subject: Subject, run: Run, found: Predictions) -> dict[str, str]:
    """Return the figures of all test images together."""
    hits, total = int(found.hits.sum()), len(found.labels)
    rows = {"test images": f"{total:,}", "accuracy": write_share(hits, total)}
    row = run.row
    known = {name: row.get(f"test_{name}") for name in SHARES}
    rows |= {SHARES[name]: f"{value:.4f}" for name, value in known.items() if value is not None}
    if row.get("test_loss") is not None:
        rows["loss"] = f"{row['test_loss']:.4f}"
    if subject.is_multi_label:
        area = row.get(f"test_{AREA}")
        rows[f"mean {AREA_TITLE} of a label"] = "" if area is None else f"{area:.4f}"
    else:
        rows |= describe_calibration(found, run.decision)
    if subject.group and (constant := baseline(subject.group)):
        rows["majority baseline"] = f"{constant[1]:.4f} (always “{constant[0]}”)"
    return rows


def describe_calibration(found: Predictions, decision: Decision | None) -> dict[str, str]:
    """Return the calibration error, and the figures that a decision changes."""
    logits, labels = found.logits, found.labels
    rows = {f"{CALIBRATION_TITLE}, as trained": f"{calibration_error(logits, labels):.4f}"}
    if decision is None:
        return rows
    scaled = calibration_error(decision.scale(logits), labels)
    rows[f"{CALIBRATION_TITLE}, with the temperature"] = f"{scaled:.4f}"
    if decision.threshold is not None:
        hits = int((decision.answer(logits) == labels).sum())
        rows["accuracy with the threshold"] = write_share(hits, len(labels))
    if decision.rejection is not None:
        is_given = ~decision.rejects(logits)
        rows["share of images that are answered"] = write_share(int(is_given.sum()), len(labels))
        hits = int((decision.answer(logits) == labels)[is_given].sum())
        rows["accuracy of these answers"] = write_share(hits, int(is_given.sum()))
    return rows


def write_share(parts: int, total: int) -> str:
    """Return `0.931 (0.884 to 0.960), 95 of 102`; a dash for a share of nothing."""
    if not total:
        return "-"
    low, high = wilson_interval(parts, total)
    return f"{parts / total:.3f} ({low:.3f} to {high:.3f}), {parts:,} of {total:,}"


def write_rates(subject: Subject) -> Iterator[str]:
    """Yield sensitivity, specificity, PPV and NPV of two classes."""
    rows = find_two_classes([subject.group], None) if subject.group else []
    table = rate_table(rows)
    if table is None:
        return
    yield from markdown_table(
        replace(
            table,
            columns=table.columns[1:],
            rows=[cells[1:] for cells in table.rows],
            note="95 % intervals over the test images. PPV and NPV are for data with the same "
            f"share of positive images, {100 * rows[0].share:.1f} %.",
        ),
        3,
    )


def tabulate_classes(subject: Subject, found: Predictions) -> Table:
    """Return recall, precision and F1 of each class; of many, those with the lowest F1."""
    names = subject.class_names
    figures = class_figures(found.labels, found.predicted, len(names))
    order = np.arange(len(names))
    note = "Recall is the share of a class's images that are answered as it, precision the share "
    note += "of right answers among these. A dash stands for a share of nothing."
    if len(names) > MAX_CLASSES:
        order = np.argsort(figures.f1, kind="stable")[:MAX_CLASSES]
        note = f"The {MAX_CLASSES} classes with the lowest F1, of {len(names):,}. {note}"
    return Table(
        title="Labels" if subject.is_multi_label else "Classes",
        columns=["class", "test images", "recall", "precision", "F1"],
        rows=[[names[place], *write_class(figures, int(place))] for place in order],
        note=note,
    )


def write_class(figures: ClassFigures, place: int) -> list[str]:
    """Return the cells of one class."""
    support, answered = int(figures.support[place]), int(figures.answered[place])
    recall, f1 = figures.recall[place], figures.f1[place]
    # A class without images has no right answer.
    hits = round(recall * support) if support else 0
    return [
        f"{support:,}",
        write_share(hits, support),
        write_share(hits, answered),
        "-" if np.isnan(f1) else f"{f1:.3f}",
    ]
