"""The test answers of a row with two classes: rates and areas, as means over its runs.

All runs of a row see the same test images. More runs are no more images, so an interval is that of
one run with the mean as its rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.areas import area_interval
from poc.shared.engine.folder.decision import Decision
from poc.shared.engine.numerics.metrics import Interval
from poc.shared.engine.numerics.ranking import Placements, place
from poc.shared.engine.numerics.scores import Truths, log_odds
from poc.shared.engine.numerics.thresholds import AnswerCounts
from poc.shared.errors import UsageError
from poc.shared.spec.suggestions import likeliest

from .groups import Group, share_test_images
from .predictions import Predictions
from .reading import Run

MOST_PROBABLE = "the more probable class"


class Answering(NamedTuple):
    """A way to answer: its name, and its mean counts over the runs."""

    name: str
    counts: AnswerCounts
    is_decided: bool = False


@dataclass(frozen=True)
class TwoClasses:
    """A row of two classes, of which the one at `position` is positive."""

    group: Group
    position: int

    @property
    def positive(self) -> str:
        """Return the name of the positive class."""
        return self.group.runs[0].record.data.class_names[self.position]

    @property
    def tested(self) -> list[tuple[Run, Predictions]]:
        """Return the runs that have answers, with them."""
        return [(run, run.predictions) for run in self.group.runs if run.predictions is not None]

    @cached_property
    def answerings(self) -> list[Answering]:
        """Return the ways to answer: by probability, and by a decision that all runs have."""
        plain = [self.count(item, item.predicted == self.position) for _, item in self.tested]
        found = [Answering(MOST_PROBABLE, mean_counts(plain))]
        decided = [(run.decision, item) for run, item in self.tested if run.decision]
        if len(decided) == len(plain) and all(decision.threshold for decision, _ in decided):
            counts = [
                self.count(item, decision.answer(item.logits) == self.position)
                for decision, item in decided
            ]
            name = name_decisions([decision for decision, _ in decided])
            found.append(Answering(name, mean_counts(counts), is_decided=True))
        return found

    def count(self, item: Predictions, answers: Truths) -> AnswerCounts:
        """Count answers (N,), True for positive, of one run."""
        return AnswerCounts.of(answers, item.labels == self.position)

    @cached_property
    def places(self) -> Placements | None:
        """Return the mean placements over the runs, image by image; None with one class alone."""
        known = [
            place(log_odds(item.logits, self.position), item.labels == self.position)
            for _, item in self.tested
        ]
        present = [item for item in known if item is not None]
        if not present:
            return None
        return Placements(*(np.mean(side, axis=0) for side in zip(*present, strict=True)))

    @cached_property
    def area_interval(self) -> Interval | None:
        """Return the 95 % interval of the mean area under the ROC curve."""
        return area_interval(self.places) if self.places else None

    @property
    def share(self) -> float:
        """Return the share of positive test images."""
        return float((self.tested[0][1].labels == self.position).mean())


def mean_counts(counts: Sequence[AnswerCounts]) -> AnswerCounts:
    """Return the means of counts over runs."""
    means: NDArray[np.float64] = np.mean(counts, axis=0)
    return AnswerCounts(*means.tolist())


def name_decisions(decisions: Sequence[Decision]) -> str:
    """Name the thresholds of a row's decisions: `p >= 0.310`, or the range of them."""
    values = [item.threshold.probability for item in decisions if item.threshold]
    low, high = min(values), max(values)
    shown = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"
    return f"p ≥ {shown}, chosen on validation"


def find_two_classes(groups: Sequence[Group], positive: str | None) -> list[TwoClasses]:
    """Return the rows of two classes that were tested on the same images in all their runs.

    Args:
        groups: The rows of a report.
        positive: Name of the positive class; none: that of the rows' decisions, or the second.

    Raises:
        UsageError: No row has two classes of which one has this name.
    """
    binary = [
        group for group in groups if len(group.data.class_names) == 2 and not group.is_multi_label
    ]
    names = list(dict.fromkeys(name for group in binary for name in group.data.class_names))
    if positive is not None and positive not in names:
        known = f"a class of two, {', '.join(map(repr, names))}" if names else "runs of two classes"
        advice = f"--positive {likeliest(positive, names)!r}" if names else "leaving it out"
        raise UsageError(f"Got --positive {positive!r}. Expected {known}. Try {advice}.")
    tested = [group for group in binary if share_test_images(group, group)]
    return [TwoClasses(group, find_position(group, positive, tested)) for group in tested]


def find_position(group: Group, positive: str | None, rows: Sequence[Group]) -> int:
    """Return the position of a row's positive class.

    A row without a decision takes the class of the other rows with its classes, so that their
    sensitivities can be compared.
    """
    names = group.data.class_names
    if positive in names:
        return names.index(positive)
    alike = [row for row in rows if set(row.data.class_names) == set(names)]
    for members in ([group], alike):
        decided = find_decided(members)
        if len(decided) == 1:
            return names.index(decided.pop())
    return 1


def find_decided(rows: Sequence[Group]) -> set[str]:
    """Return the positive classes of the rows' decisions."""
    thresholds = [run.decision.threshold for row in rows for run in row.runs if run.decision]
    return {item.positive for item in thresholds if item}
