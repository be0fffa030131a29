"""Rows held against each other and against the majority baseline."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import Group, match_backends, seed_of, share_test_images
from poc.shared.analysis.statistics.differences import Difference
from poc.shared.analysis.statistics.intervals import holm, holm_levels, majority_share
from poc.shared.analysis.statistics.uncertainty import SHARES, SIGNIFICANCE, Evidence, SeedModel

from .findings import name_baseline

# A constant answer has no seed; a million of them stand for that.
NUM_BASELINE_SEEDS = 1_000_000


class Pair(NamedTuple):
    """Two rows compared, or a row with the majority baseline; `reason` says why they are not.

    `difference` is the accuracy of the first less that of the second. `low` and `high` are its
    interval at the level (`level`) at which Holm's rule judged the pair, so that it holds 0 exactly
    where no difference is shown. `adjusted` is Holm's p value over all pairs of the page.
    `is_of_one_seed`: the frameworks of one method with a seed each. How far another seed moves an
    accuracy is then assumed, and early in training it is far more, so that neither is crowned.
    """

    first: str
    second: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    level: float = SIGNIFICANCE
    is_baseline: bool = False
    is_of_one_seed: bool = False
    reason: str = ""

    @property
    def winner(self) -> str | None:
        """The row that is shown to be more accurate."""
        if self.difference is None or self.is_of_one_seed or not self.is_far_apart:
            return None
        return self.first if self.difference > 0 else self.second

    @property
    def is_far_apart(self) -> bool:
        """Whether the difference is more than chance makes, by what is known of seeds."""
        return self.adjusted is not None and self.adjusted < SIGNIFICANCE


def compare_pairs(groups: Sequence[Group]) -> list[Pair]:
    """Every two rows, then every row and the majority baseline, adjusted for their number."""
    pairs, known = [], []
    frameworks = [
        {tf.label, torch.label}
        for tf, torch in match_backends(groups)
        if has_one_seed(tf) and has_one_seed(torch)
    ]
    for first, second in combinations(groups, 2):
        found = find_difference(first, second)
        pairs.append(
            Pair(
                first.label,
                second.label,
                is_of_one_seed={first.label, second.label} in frameworks,
                reason="" if found else why_not(first, second),
            )
        )
        known.append(found)
    for group in groups:
        if found := find_lead(group):
            pairs.append(Pair(group.label, name_baseline(group), is_baseline=True))
            known.append(found)
    return judge_pairs(pairs, known)


def has_one_seed(group: Group) -> bool:
    """Whether all runs of a row have the same seed."""
    return len({seed_of(run) for run in group.runs}) == 1


def judge_pairs(pairs: Sequence[Pair], found: Sequence[Difference | None]) -> list[Pair]:
    """The pairs with their figures; those without a difference as they are."""
    p_values = [item.p_value for item in found if item]
    judged = iter(zip(p_values, holm(p_values), holm_levels(p_values, SIGNIFICANCE), strict=True))
    filled = []
    for pair, item in zip(pairs, found, strict=True):
        if item is None:
            filled.append(pair)
            continue
        p_value, adjusted, level = next(judged)
        reach = item.reach(level)
        filled.append(
            pair._replace(
                difference=item.value,
                low=max(item.value - reach, -1.0),
                high=min(item.value + reach, 1.0),
                p_value=p_value,
                adjusted=adjusted,
                level=level,
            )
        )
    return filled


def find_difference(first: Group, second: Group) -> Difference | None:
    """The difference of two rows of one page; none where their images are not the same."""
    one, other = first.answers_by_seed, second.answers_by_seed
    if one is None or other is None or why_not(first, second):
        return None
    if first.seed_model is None or first.seed_model is not second.seed_model:
        return None
    return Difference(
        (first.seed_model.rows[first.place], second.seed_model.rows[second.place]),
        first.seed_model.of_pair(first.place, second.place),
        one.mean(axis=0) - other.mean(axis=0),
    )


def why_not(first: Group, second: Group) -> str:
    """Why two rows are not compared; empty where they are."""
    if first.data != second.data:
        return "other data"
    return "" if share_test_images(first, second) else "other test images, or predictions missing"


def find_lead(group: Group) -> Difference | None:
    """A row's lead over always answering the most frequent class, which no seed moves."""
    answers, predictions = group.answers_by_seed, group.runs[0].predictions
    if answers is None or predictions is None or group.seed_model is None:
        return None
    is_right = predictions.labels == majority_share(predictions.labels)[0]
    return constant_difference(group.seed_model, group.place, answers.mean(axis=0), is_right)


def constant_difference(
    model: SeedModel, place: int, shares: NDArray[np.float64], is_right: NDArray[np.bool_]
) -> Difference:
    """A row's (N,) shares of right answers less those of a constant answer, right or not."""
    weights = np.zeros((len(SHARES), len(SHARES)))
    weights[:, 0] = model.of_row(place)
    constant = Evidence(float(is_right.mean()), len(is_right), NUM_BASELINE_SEEDS)
    return Difference((model.rows[place], constant), weights, shares - is_right)
