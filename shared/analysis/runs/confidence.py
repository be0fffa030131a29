"""Confidence and success of a row's test answers, over all its runs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.intervals import Spread, spread
from poc.shared.engine.numerics.calibration import Bins, confidences_of, reliability_bins
from poc.shared.engine.numerics.rejection import RejectionCurve, rejection_curve
from poc.shared.engine.numerics.scores import Scores, Truths

from .groups import Group


@dataclass(frozen=True)
class Confidence:
    """Confidences of S runs, (N,) each, with their success; `scaled_values` if all have a decision.

    `hits` are (N,) per run, True for right answers of the most probable class.
    """

    values: tuple[Scores, ...]
    hits: tuple[Truths, ...]
    scaled_values: tuple[Scores, ...] = ()

    @property
    def num_runs(self) -> int:
        """Return the number of runs."""
        return len(self.values)

    @cached_property
    def bins(self) -> Bins:
        """Return the bins of all answers together."""
        return reliability_bins(np.concatenate(self.values), np.concatenate(self.hits))

    @cached_property
    def scaled(self) -> Bins | None:
        """Return the bins with the temperatures of the decisions; None without these."""
        if not self.scaled_values:
            return None
        return reliability_bins(np.concatenate(self.scaled_values), np.concatenate(self.hits))

    @cached_property
    def errors(self) -> Spread:
        """Return the expected calibration error over the runs."""
        return spread_errors(self.values, self.hits)

    @cached_property
    def scaled_errors(self) -> Spread | None:
        """Return the same with the temperatures; None without decisions."""
        return spread_errors(self.scaled_values, self.hits) if self.scaled_values else None

    @cached_property
    def curves(self) -> list[RejectionCurve]:
        """Return the rejection curve of each run."""
        return [rejection_curve(*own) for own in zip(self.values, self.hits, strict=True)]

    @property
    def mean_confidence(self) -> float:
        """Return the mean confidence of all answers."""
        return float(np.mean([own.mean() for own in self.values]))

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy of the runs."""
        return float(np.mean([own.mean() for own in self.hits]))


def spread_errors(values: tuple[Scores, ...], hits: tuple[Truths, ...]) -> Spread:
    """Return the calibration errors of runs: confidences (N,) each, and their success (N,)."""
    pairs = zip(values, hits, strict=True)
    return spread([reliability_bins(*own).calibration_error for own in pairs])


def confidence_of(group: Group) -> Confidence | None:
    """Return the confidences of a row; None without a test, and with any number of labels."""
    tested = [(run, run.predictions) for run in group.runs if run.predictions is not None]
    # The confidence of a set of labels has no single definition.
    if not tested or group.is_multi_label:
        return None
    scaled: list[NDArray[np.float64]] = [
        confidences_of(run.decision.scale(item.logits)) for run, item in tested if run.decision
    ]
    return Confidence(
        values=tuple(confidences_of(item.logits) for _, item in tested),
        hits=tuple(item.hits for _, item in tested),
        scaled_values=tuple(scaled) if len(scaled) == len(tested) else (),
    )
