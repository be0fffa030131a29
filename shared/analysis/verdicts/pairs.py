"""Comparisons of rows with each other and with the majority baseline."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import Group, match_backends, seed_of, share_test_images
from poc.shared.analysis.statistics.differences import Difference
from poc.shared.analysis.statistics.intervals import holm, holm_levels, majority_share
from poc.shared.analysis.statistics.uncertainty import SHARES, SIGNIFICANCE, Evidence, SeedModel
from poc.shared.engine.numerics.answers import judge

from .findings import name_baseline

# A constant answer does not depend on a seed. A million seeds make the variance of seeds vanish.
NUM_BASELINE_SEEDS = 1_000_000


class Pair(NamedTuple):
    """Two rows compared, or a row and the majority baseline; `reason` says why if they are not.

    `difference` is the accuracy of the first minus that of the second. `low` and `high` are its
    interval at the level (`level`) at which Holm's rule judged the pair, so that it contains 0
    exactly if no difference is shown. `adjusted` is Holm's p value over all pairs of the page.
    `is_of_one_seed`: the frameworks of one method with one seed each. The effect of another seed
    is then assumed, and it is far larger early in training, so neither is called better.
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
        """Return the row that is shown to be more accurate, or None."""
        if self.difference is None or self.is_of_one_seed or not self.is_far_apart:
            return None
        return self.first if self.difference > 0 else self.second

    @property
    def is_far_apart(self) -> bool:
        """Return whether the difference is significant under the model of seeds and images."""
        return self.adjusted is not None and self.adjusted < SIGNIFICANCE


def compare_pairs(groups: Sequence[Group]) -> list[Pair]:
    """Compare every two rows, then every row and the majority baseline.

    The p values are adjusted for the number of all these comparisons.
    """
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
    """Return whether all runs of a row have the same seed."""
    return len({seed_of(run) for run in group.runs}) == 1


def judge_pairs(pairs: Sequence[Pair], found: Sequence[Difference | None]) -> list[Pair]:
    """Return the pairs with their figures; pairs without a difference stay unchanged.

    Args:
        pairs: All pairs of the page.
        found: The difference of each pair, in the same order.
    """
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
                # A difference of two shares lies between -1 and 1.
                low=max(item.value - reach, -1.0),
                high=min(item.value + reach, 1.0),
                p_value=p_value,
                adjusted=adjusted,
                level=level,
            )
        )
    return filled


def find_difference(first: Group, second: Group) -> Difference | None:
    """Return the difference of two rows of one page; None if their images are not the same."""
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
    """Return the reason why two rows are not compared; empty if they are."""
    if first.data != second.data:
        return "other data"
    return "" if share_test_images(first, second) else "other test images, or predictions missing"


def find_lead(group: Group) -> Difference | None:
    """Return a row's lead over always answering the most frequent class."""
    answers, predictions = group.answers_by_seed, group.runs[0].predictions
    if answers is None or predictions is None or group.seed_model is None:
        return None
    constant = np.broadcast_to(majority_share(predictions.labels)[0], predictions.labels.shape)
    is_right = judge(constant, predictions.labels)
    return constant_difference(group.seed_model, group.place, answers.mean(axis=0), is_right)


def constant_difference(
    model: SeedModel, place: int, shares: NDArray[np.float64], is_right: NDArray[np.bool_]
) -> Difference:
    """Return the difference of a row and a constant answer.

    Args:
        model: Model of the rows of the page.
        place: Place of the row in the model.
        shares: (N,) share of the row's seeds that are right on each image.
        is_right: (N,) images on which the constant answer is right.
    """
    # (K, K): all probability of the constant's k is at the smallest share, since no seed moves it.
    weights = np.zeros((len(SHARES), len(SHARES)))
    weights[:, 0] = model.of_row(place)
    constant = Evidence(float(is_right.mean()), len(is_right), NUM_BASELINE_SEEDS)
    return Difference((model.rows[place], constant), weights, shares - is_right)
