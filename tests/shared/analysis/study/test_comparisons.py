"""Comparisons: a known case, the family of Holm's rule, and rows that no seed moves."""

import numpy as np
import pytest

from poc.shared.analysis.statistics.intervals import mcnemar
from poc.shared.analysis.study.comparisons import Contest, compare
from poc.shared.analysis.study.rows import Row, tabulate
from poc.tests.helpers.studies.tables import make_results


def make_row(name, answers, is_deterministic=False):
    answers = np.atleast_2d(np.asarray(answers, dtype=float))
    samples = tuple((0, seed) for seed in range(len(answers)))
    return Row(name, "", samples, answers, len(answers), is_deterministic)


def test_two_fixed_rows_are_mcnemars_test():
    """60 images only by the first, 40 only by the second, of 400: z = 20 / sqrt(100)."""
    first = np.r_[np.ones(60), np.zeros(40), np.ones(250), np.zeros(50)]
    second = np.r_[np.zeros(60), np.ones(40), np.ones(250), np.zeros(50)]
    rows = [make_row("a", first, True), make_row("b", second, True)]
    found = Contest(rows, None).difference(*rows)
    exact = mcnemar(first.astype(bool), second.astype(bool))
    assert (exact.only_first, exact.only_second) == (60, 40)
    assert found.value == 0.05
    # The smallest share of the grid, .002, is all that is left of the seeds.
    assert found.p_value == pytest.approx(0.0455, abs=2e-4)


def test_a_row_that_seeds_move_is_less_certain():
    random = np.random.default_rng(0)
    first = (random.random((3, 400)) < 0.8).astype(float)
    second = first[:1].copy()
    second[0, :30] = 0
    rows = [make_row("a", first), make_row("b", second, True)]
    moved = Contest(rows, None).difference(*rows)
    fixed_rows = [make_row("a", first, True), rows[1]]
    assert moved.p_value > Contest(fixed_rows, None).difference(*fixed_rows).p_value


@pytest.mark.parametrize(("is_folds", "num_pairs"), [(False, 3), (True, 6)])
def test_the_family_has_every_pair_only_with_folds(is_folds, num_pairs):
    accuracies = dict.fromkeys("abcd", 0.8)
    table = tabulate(make_results(accuracies, num_images=60))
    found = compare(table, "b", is_folds=is_folds)
    pairs = [(item.first.candidate, item.second.candidate) for item in found]
    assert len([pair for pair in pairs if pair[0] != pair[1]]) == num_pairs
    assert len([pair for pair in pairs if pair[0] == pair[1]]) == 4
    assert is_folds or all("b" in pair for pair in pairs if pair[0] != pair[1])


def test_a_large_difference_is_shown_and_its_interval_is_that_of_holm():
    table = tabulate(make_results({"a": 0.9, "b": 0.6, "c": 0.89}, num_images=600, num_seeds=5))
    found = compare(table, "a", is_folds=False)
    for item in found:
        assert item.is_shown == (item.low > 0 or item.high < 0)
    shown = [(item.first.candidate, item.second.candidate) for item in found if item.is_shown]
    assert shown == [("a", "b")]


def test_frameworks_with_one_network_each_are_not_told_apart():
    accuracies = {"a": {"tf": 0.95, "torch": 0.5}}
    one = tabulate(make_results(accuracies, num_images=600, num_seeds=1))
    (item,) = compare(one, "a", is_folds=False)
    assert item.p_value < 0.05
    assert not item.is_shown
    three = tabulate(make_results(accuracies, num_images=600, num_seeds=3))
    assert compare(three, "a", is_folds=False)[0].is_shown
