"""Comparisons of candidates, and of frameworks, with a correction for their number.

The model is that of `poc report` (`statistics.differences`): paired differences on the same test
images, and seeds that move each row. Holm's rule covers all comparisons of a study at once, so that
a study makes a false claim in at most 5 % of cases. On a holdout the recommended candidate is
chosen without test images, and only its comparisons are made. With folds the choice is not
independent of the test answers, so that every pair of candidates counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.differences import Difference
from poc.shared.analysis.statistics.intervals import holm, holm_levels
from poc.shared.analysis.statistics.uncertainty import (
    SHARES,
    SIGNIFICANCE,
    Evidence,
    Prior,
    SeedModel,
    weigh_answers,
)
from poc.shared.analysis.verdicts.pairs import NUM_BASELINE_SEEDS

from .rows import Row, Table

# All probability at the smallest share k: no seed moves the row.
NO_SEEDS = np.eye(len(SHARES))[0]


@dataclass(frozen=True)
class Comparison:
    """Two rows; `difference` is the accuracy of the first minus that of the second.

    `low` and `high` are its interval at the level at which Holm's rule judged it, so that it
    contains 0 exactly if nothing is shown. `p_value` is adjusted by Holm's rule.
    """

    first: Row
    second: Row
    found: Difference
    low: float
    high: float
    p_value: float
    level: float

    @property
    def difference(self) -> float:
        """Return the observed difference."""
        return self.found.value

    @property
    def is_shown(self) -> bool:
        """Return whether the rows differ beyond chance."""
        # The frameworks of one candidate with one network each: another seed is only assumed.
        is_single = self.first.candidate == self.second.candidate and (
            min(self.first.num_runs, self.second.num_runs) == 1
        )
        is_fixed = self.first.is_deterministic and self.second.is_deterministic
        return self.p_value < SIGNIFICANCE and (is_fixed or not is_single)


class Contest:
    """Differences of rows on the same images, by one model of the effect of seeds.

    Args:
        rows: At least one row.
        groups: (N,) number of each image's group; None without groups.
        prior: Assumption about the effect of seeds.
    """

    def __init__(
        self, rows: Sequence[Row], groups: NDArray[np.int64] | None, prior: Prior | None = None
    ) -> None:
        self._groups = groups
        evidence = [weigh_answers(row.answers, groups) for row in rows if not row.is_deterministic]
        self._places: dict[tuple[str, str], int] = {}
        for row in rows:
            if not row.is_deterministic:
                self._places[row.candidate, row.framework] = len(self._places)
        self._model = SeedModel(evidence, prior) if evidence else None

    def difference(self, first: Row, second: Row) -> Difference:
        """Return the difference of two of the rows."""
        return Difference(
            (self._evidence(first), self._evidence(second)),
            self._weights(first, second),
            first.answers.mean(axis=0) - second.answers.mean(axis=0),
            self._groups,
        )

    def _evidence(self, row: Row) -> Evidence:
        if row.is_deterministic or self._model is None:
            num_images = row.answers.shape[1]
            return Evidence(row.accuracy, num_images, NUM_BASELINE_SEEDS)
        return self._model.rows[self._places[row.candidate, row.framework]]

    def _weights(self, first: Row, second: Row) -> NDArray[np.float64]:
        """Return the (K, K) probability of each pair of shares."""
        places = [self._places.get((row.candidate, row.framework)) for row in (first, second)]
        one, other = places
        if self._model is not None and one is not None and other is not None:
            return self._model.of_pair(one, other)
        weights = [
            NO_SEEDS if self._model is None or place is None else self._model.of_row(place)
            for place in places
        ]
        return np.outer(weights[0], weights[1])


def compare(table: Table, recommended: str, *, is_folds: bool) -> list[Comparison]:
    """Make all comparisons of a study: candidates, then the frameworks of each."""
    rows = list(table.averages.values())
    contest = Contest(rows, table.groups, table.prior)
    pairs = [
        (contest, first, second)
        for first, second in combinations(rows, 2)
        if is_folds or recommended in (first.candidate, second.candidate)
    ]
    both = [name for name in table.candidates if len(table.frameworks(name)) > 1]
    sides = [[table.rows[name, own] for own in table.frameworks(name)] for name in both]
    if sides:
        # A model of its own: rows of both frameworks, which share their seeds.
        contest = Contest([row for own in sides for row in own], table.groups, table.prior)
        pairs += [
            (contest, first, second) for own in sides for first, second in combinations(own, 2)
        ]
    return judge([(first, second, own.difference(first, second)) for own, first, second in pairs])


def judge(found: Sequence[tuple[Row, Row, Difference]]) -> list[Comparison]:
    """Adjust the p values for the number of comparisons."""
    p_values = [difference.p_value for _, _, difference in found]
    judged = zip(found, holm(p_values), holm_levels(p_values, SIGNIFICANCE), strict=True)
    comparisons = []
    for (first, second, difference), p_value, level in judged:
        reach = difference.reach(level)
        low, high = max(difference.value - reach, -1.0), min(difference.value + reach, 1.0)
        comparisons.append(Comparison(first, second, difference, low, high, p_value, level))
    return comparisons
