"""Tables of suspicious images, for the terminal and for a report."""

from collections.abc import Iterator, Sequence

from poc.shared.analysis.gallery.listing import write_probability
from poc.shared.analysis.tables.table import Table

from .findings import Findings, Likeness

NUM_LISTED = 20


def suspect_tables(findings: Findings) -> list[Table]:
    """Return a table of counts, then one of each kind of finding that there is."""
    tables = [count_table(findings)]
    tables += likeness_tables("Near copies by perceptual hash", "bits", findings.near_copies)
    tables += likeness_tables("Near copies by embedding", "distance", findings.alike or [])
    if findings.wrong_labels and findings.wrong_labels.items:
        tables.append(label_table(findings))
    if findings.outliers and findings.outliers.items:
        tables.append(outlier_table(findings))
    return tables


def count_table(findings: Findings) -> Table:
    """Return the counts of findings; a dash where nothing was searched."""
    wrong, far = findings.wrong_labels, findings.outliers
    rows = [
        ["groups of near copies by perceptual hash", *count_groups(findings.near_copies)],
        ["groups of near copies by embedding", *count_groups(findings.alike)],
        ["labels that are likely wrong", str(len(wrong.items)) if wrong else "-", "", ""],
        ["outliers", str(len(far.items)) if far else "-", "", ""],
        ["pictures without contrast", str(findings.num_blank), "", ""],
    ]
    return Table(
        title=f"Suspicious images of {findings.source}",
        columns=["finding", "number", "across parts", "across classes"],
        rows=rows,
        note=" ".join([describe_parts(findings), *findings.remarks]),
        words=["finding"],
    )


def describe_parts(findings: Findings) -> str:
    """Return a sentence about the parts that were compared."""
    if findings.parts == "published":
        return "Parts are the published ones."
    if findings.parts:
        return f"Parts are those of the run {findings.parts}."
    return "The source publishes no parts; --run compares those of a run."


def count_groups(groups: Sequence[Likeness] | None) -> list[str]:
    """Return how many groups there are, and how many reach across parts and across classes."""
    if groups is None:
        return ["-", "", ""]
    across = [
        sum(group.is_across_parts for group in groups),
        sum(group.is_across_classes for group in groups),
    ]
    return [f"{number:,}" for number in (len(groups), *across)]


def likeness_tables(title: str, unit: str, groups: Sequence[Likeness]) -> list[Table]:
    """Return the table of groups, those across parts or classes first; none without groups."""
    if not groups:
        return []
    order = sorted(groups, key=lambda own: not (own.is_across_parts or own.is_across_classes))
    shown = order[:NUM_LISTED]
    note = note_more(len(groups), "groups")
    if any(len(group.ids) > NUM_LISTED for group in shown):
        note += f" Of larger groups, the first {NUM_LISTED} images."
    return [
        Table(
            title=title,
            columns=["image", "class", "part", unit, "across"],
            rows=[row for group in shown for row in likeness_rows(group, unit)],
            note=note,
            words=["image", "class", "part", "across"],
            is_stacked=True,
        )
    ]


def likeness_rows(group: Likeness, unit: str) -> Iterator[list[str]]:
    """Yield a row per image of a group; the first one has the facts of the group."""
    distance = f"{group.distance:.0f}" if unit == "bits" else f"{group.distance:.2g}"
    whole = [distance, describe_reach(group)]
    rows = list(zip(group.ids, group.classes, group.parts, strict=True))
    for row in rows[:NUM_LISTED]:
        yield [*row, *whole]
        whole = ["", ""]


def describe_reach(group: Likeness) -> str:
    """Return what a group reaches across, in words."""
    known = {"parts": group.is_across_parts, "classes": group.is_across_classes}
    return " and ".join(name for name, is_so in known.items() if is_so)


def label_table(findings: Findings) -> Table:
    """Return the labels that are likely wrong, the least probable first."""
    wrong = findings.wrong_labels
    items = wrong.items if wrong else []
    return Table(
        title="Labels that are likely wrong",
        columns=["image", "label", "suggested", "probability of the label"],
        rows=[
            [item.id, item.given, item.suggested, write_probability(item.probability)]
            for item in items[:NUM_LISTED]
        ],
        note=note_more(len(items), "labels")
        + f" Answers of networks that were not trained on the image, for "
        f"{wrong.num_answered if wrong else 0:,} of {findings.num_examples:,} images.",
        words=["image", "label", "suggested"],
        is_stacked=True,
    )


def outlier_table(findings: Findings) -> Table:
    """Return the images that are far from all others, the farthest first."""
    far = findings.outliers
    items = far.items if far else []
    return Table(
        title="Outliers",
        columns=["image", "class", "distance"],
        rows=[[item.id, item.given, f"{item.distance:.3g}"] for item in items[:NUM_LISTED]],
        note=note_more(len(items), "images") + " Mean distance (1 - cosine) to the nearest images, "
        f"above {far.limit if far else 0:.3g}.",
        words=["image", "class"],
        is_stacked=True,
    )


def note_more(count: int, what: str) -> str:
    """Say how many of a list are shown."""
    shown = min(count, NUM_LISTED)
    return f"{shown:,} of {count:,} {what}; --json and suspects.json have all."
