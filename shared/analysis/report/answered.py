"""Figures of the test answers of a report, computed once for its tables, pictures and files."""

from collections.abc import Sequence
from dataclasses import dataclass

from poc.shared.analysis.figures.drawing import Picture
from poc.shared.analysis.figures.ranking_curves import KINDS, draw_many_classes, draw_two_classes
from poc.shared.analysis.figures.rejection import draw_rejection
from poc.shared.analysis.figures.reliability import draw_reliability
from poc.shared.analysis.runs.class_areas import ClassAreas, class_areas
from poc.shared.analysis.runs.confidence import Confidence, confidence_of
from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.two_classes import TwoClasses, find_two_classes


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The rows that were tested: those of two classes, confidences, and areas of each class."""

    two_classes: Sequence[TwoClasses]
    confidences: Sequence[tuple[Group, Confidence]]
    areas: Sequence[tuple[Group, ClassAreas]]

    @classmethod
    def of(cls, groups: Sequence[Group], positive: str | None) -> "Answered":
        """Compute the figures of the rows of a report.

        Raises:
            UsageError: No row has two classes of which one is called `positive`.
        """
        confidences = [(group, confidence_of(group)) for group in groups]
        areas = [(group, class_areas(group)) for group in groups]
        return cls(
            two_classes=find_two_classes(groups, positive),
            confidences=[(group, item) for group, item in confidences if item is not None],
            areas=[(group, item) for group, item in areas if item is not None],
        )

    def draw(self) -> list[Picture]:
        """Draw the curves, the reliability diagrams and the rejection curves."""
        curves = [draw_two_classes(self.two_classes, kind) for kind in KINDS]
        curves += [draw_many_classes(self.areas, kind) for kind in KINDS]
        others = [draw_reliability(self.confidences), draw_rejection(self.confidences)]
        return [picture for picture in (*curves, *others) if picture]
