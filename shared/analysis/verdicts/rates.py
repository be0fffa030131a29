"""A sentence about the best row of each data set: rates of two classes, or of any number of labels.

Both say what a reader of the accuracy alone would miss.
"""

from collections.abc import Iterator, Sequence

from poc.shared.analysis.runs.groups import Group, by_data, name_data
from poc.shared.analysis.runs.two_classes import TwoClasses
from poc.shared.engine.numerics.thresholds import AnswerCounts, Rate
from poc.shared.engine.summary.answer_columns import AREA

from .findings import mean_accuracy


def describe_rates(rows: Sequence[TwoClasses]) -> Iterator[str]:
    """Yield a sentence per data set of two classes, about its row of the highest accuracy.

    Of several such rows it is one with a decision. If the row has one, a second sentence has the
    rates, and the accuracy, with it.
    """
    parts = by_data([row.group for row in rows])
    names = name_data([members[0].data for members in parts])
    for members in parts:
        own = [row for row in rows if any(row.group is group for group in members)]
        row = max(own, key=lambda row: (mean_accuracy(row.group), len(row.answerings)))
        best = row.group
        lead = f"On {names[best.data]}: " if parts[1:] else ""
        of_row = f" of {best.label}" if members[1:] else ""
        plain, *decided = row.answerings
        yield (
            f"{lead}Sensitivity{of_row} for “{row.positive}”: {write_both(plain.counts)}; the "
            f"answer is {plain.name} (95 % intervals, over the {row.group.num_test_images:,} test "
            "images alone)."
        )
        for answering in decided:
            yield (
                f"{lead}With {answering.name}: sensitivity {write_both(answering.counts)}; "
                f"accuracy {answering.counts.accuracy:.3f}."
            )


def describe_labels(groups: Sequence[Group]) -> Iterator[str]:
    """Yield what accuracy means for any number of labels, and the row of the highest one by label.

    One sentence per data set with such images.
    """
    parts = by_data(groups)
    names = name_data([members[0].data for members in parts])
    for members in parts:
        best = max(members, key=mean_accuracy)
        single, area = (best.spread(f"test_{name}") for name in ("label_accuracy", AREA))
        if not best.is_multi_label or single is None:
            continue
        lead = f"On {names[best.data]}: " if parts[1:] else ""
        areas = f"; the mean area under ROC of a label is {area.mean:.3f}" if area else ""
        of_row = f" of {best.label}" if members[1:] else ""
        yield (
            f"{lead}An image counts as right only with every label right; {single.mean:.3f} of the "
            f"single answers{of_row} are right{areas}."
        )


def write_both(counts: AnswerCounts) -> str:
    """Return sensitivity and specificity, each with its interval."""
    sensitivity, specificity = (counts.rate(name) for name in ("sensitivity", "specificity"))
    return f"{write_rate(sensitivity)}, specificity {write_rate(specificity)}"


def write_rate(rate: Rate) -> str:
    """Return a rate with its interval, `0.931 (0.884 to 0.960)`; a dash for a share of nothing."""
    if rate.value is None:
        return "-"
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"
