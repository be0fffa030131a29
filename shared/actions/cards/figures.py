"""Figures of a card: test answers of one network, with intervals over the test images."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from poc.shared.analysis.report.answer_tables import MAX_CLASSES, rate_table
from poc.shared.analysis.runs.agreement import AGAIN
from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.runs.two_classes import TwoClasses, find_two_classes
from poc.shared.analysis.tables.decisions import AREA_TITLE, CALIBRATION_TITLE, describe_decision
from poc.shared.analysis.tables.markdown import markdown_table
from poc.shared.analysis.tables.table import Table
from poc.shared.analysis.verdicts.findings import baseline
from poc.shared.engine.folder.decision import Decision
from poc.shared.engine.numerics.answers import Labels
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.class_metrics import ClassFigures, class_figures
from poc.shared.engine.numerics.metrics import SHARES, wilson_interval
from poc.shared.engine.summary.answer_columns import AREA
from poc.shared.shown_names import say

from .paragraphs import facts, heading, paragraphs
from .subject import Subject

TITLE = "Figures on the test part"


def write_figures(subject: Subject) -> Iterator[str]:
    """Yield the lines of the section, also if there is nothing to measure."""
    run, found, answers = subject.finished, subject.predictions, subject.answers
    if run is None or found is None or answers is None:
        yield from heading(TITLE)
        yield from paragraphs([explain_absence(subject)])
        return
    yield from facts(TITLE, describe_part(subject, run, found))
    yield from paragraphs(explain_figures(subject))
    yield from write_rates(subject)
    yield from markdown_table(tabulate_classes(subject, found, answers), 3)
    if run.decision is not None:
        yield from heading("Decision", 3)
        yield from paragraphs(describe_decision(run.decision))


def explain_absence(subject: Subject) -> str:
    """Return why there are no figures."""
    if subject.is_damaged:
        return (
            "There are no figures, since a file of the run is damaged. "
            f"{subject.reason.removesuffix(AGAIN.removesuffix('.')).rstrip(' .')}. The network "
            "itself can be used. Restore the file from a copy of the folder, or measure the "
            "network again with poc evaluate."
        )
    if subject.is_training:
        return "There are no figures, since the run is still training. They come with its end."
    if subject.finished is None:
        return f"There are no figures, since the run is not complete. {subject.reason}"
    if not subject.finished.record.data.counts.get("test"):
        return "There are no figures, since the run has no test part."
    return "There are no figures, since the run folder has no predictions.npz."


def describe_part(subject: Subject, run: Run, found: Predictions) -> dict[str, str]:
    """Return the figures of all test images together."""
    hits, total = int(found.hits.sum()), len(found.labels)
    # A decision of `poc calibrate` changes the answers, or the probabilities alone.
    changed = ", as trained" if subject.answer_rule else ""
    of_it = "accuracy, every label of an image right" if subject.is_multi_label else "accuracy"
    rows = {"test images": f"{total:,}", **describe_answers(subject, found)}
    rows[f"{of_it}{changed}"] = write_share(hits, total)
    row = run.row
    known = {name: row.get(f"test_{name}") for name in SHARES}
    rows |= {
        f"{SHARES[name]}{changed}": f"{value:.4f}"
        for name, value in known.items()
        if value is not None
    }
    if row.get("test_loss") is not None:
        rows["loss, as trained" if run.decision else "loss"] = f"{row['test_loss']:.4f}"
    if subject.is_multi_label:
        area = row.get(f"test_{AREA}")
        rows[f"mean {AREA_TITLE} of a label"] = "" if area is None else f"{area:.4f}"
    else:
        rows |= describe_calibration(found, run.decision)
    if subject.is_multi_label:
        rows["majority baseline of a label"] = write_label_bound(found)
    elif subject.group and (constant := baseline(subject.group)):
        rows["majority baseline"] = f"{constant[1]:.4f} (always “{constant[0]}”)"
    return rows


def write_label_bound(found: Predictions) -> str:
    """Return the accuracy over labels of the best constant answer, which has no look at an image.

    Each label is then always given or never, whichever is right more often.
    """
    shares = found.labels.mean(axis=0)
    bound = float(np.maximum(shares, 1 - shares).mean())
    return f"{bound:.4f} (accuracy over labels if each is always given, or never)"


def describe_answers(subject: Subject, found: Predictions) -> dict[str, str]:
    """Return the accuracy of the answers that a decision changes; nothing if it changes none."""
    answers, decision = subject.answers, subject.decision
    if answers is None or decision is None or not subject.answer_rule:
        return {}
    is_given, hits = answers >= 0, int((answers == found.labels).sum())
    if decision.threshold is not None:
        return {"accuracy with the threshold": write_share(hits, len(answers))}
    num_given = int(is_given.sum())
    return {
        "share of images that are answered": write_share(num_given, len(answers)),
        "accuracy of these answers": write_share(hits, num_given),
    }


def explain_figures(subject: Subject) -> Iterator[str]:
    """Yield what the figures are of, and what the intervals cover."""
    if subject.answer_rule:
        yield (
            f"The run answers {subject.answer_rule} of its decision, as poc predict does: the "
            "figures are those of these answers, except the rows that say “as trained”."
        )
    area = " That of an area under ROC is Newcombe's." if find_rows(subject) else ""
    yield (
        f"Intervals of shares are Wilson's, 95 %, over these test images alone.{area} Another seed "
        "of the training would move the figures too."
    )


def describe_calibration(found: Predictions, decision: Decision | None) -> dict[str, str]:
    """Return the calibration error, and that of the temperature of a decision."""
    logits, labels = found.logits, found.labels
    rows = {f"{CALIBRATION_TITLE}, as trained": f"{calibration_error(logits, labels):.4f}"}
    if decision is None:
        return rows
    scaled = calibration_error(decision.scale(logits), labels)
    rows[f"{CALIBRATION_TITLE}, with the temperature"] = f"{scaled:.4f}"
    return rows


def write_share(parts: int, total: int) -> str:
    """Return `0.931 (0.884 to 0.960), 95 of 102`; a dash for a share of nothing."""
    if not total:
        return "-"
    low, high = wilson_interval(parts, total)
    return f"{parts / total:.3f} ({low:.3f} to {high:.3f}), {parts:,} of {total:,}"


def write_rates(subject: Subject) -> Iterator[str]:
    """Yield sensitivity, specificity, PPV and NPV of two classes."""
    rows = find_rows(subject)
    table = rate_table(rows)
    if table is None:
        return
    is_choosy = bool(subject.decision and subject.decision.rejection)
    unsure = " Here every image has an answer, also one too unsure for it." if is_choosy else ""
    yield from markdown_table(
        replace(
            table,
            columns=table.columns[1:],
            rows=[cells[1:] for cells in table.rows],
            note="95 % intervals over the test images. PPV and NPV are for data with the same "
            f"share of positive images, {100 * rows[0].share:.1f} %.{unsure}",
        ),
        3,
    )


def find_rows(subject: Subject) -> list[TwoClasses]:
    """Return the run as a row of two classes, if it has two."""
    return find_two_classes([subject.group], None) if subject.group else []


def tabulate_classes(subject: Subject, found: Predictions, answers: Labels) -> Table:
    """Return recall, precision and F1 of each class; of many, those with the lowest F1.

    Args:
        subject: The run.
        found: Its test images.
        answers: (N,) classes, -1 for none; or (N, C), 1 for each label.
    """
    names = subject.class_names
    figures = class_figures(found.labels, answers, len(names))
    order = np.arange(len(names))
    note = "Recall is the share of a class's images that are answered as it, precision the share "
    note += "of right answers among these. A dash stands for a share of nothing."
    if num_unsure := int((answers < 0).sum()):
        note += f" {say(num_unsure, 'image')} without an answer count as not found."
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
