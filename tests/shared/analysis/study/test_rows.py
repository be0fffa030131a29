"""Rows on the same images: folds join, frameworks of a seed average, gaps are left out."""

import numpy as np

from poc.shared.analysis.study.results import FinalRun, Results
from poc.shared.analysis.study.rows import number_groups, tabulate
from poc.tests.helpers.studies.tables import answers, make_run


def test_folds_of_a_repeat_make_one_sample():
    runs = [
        FinalRun(
            candidate="net",
            framework="tf",
            repeat=repeat,
            fold=fold,
            test=answers(f"fold {fold}", [fold, repeat]),
            validation=answers("val", [1]),
        )
        for repeat in (0, 1)
        for fold in (0, 1)
    ]
    row = tabulate(Results(runs=runs, is_folds=True, costs={})).rows["net", "tf"]
    assert row.samples == ((0, 0), (1, 0))
    assert row.answers.tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]
    assert row.num_runs == 4


def test_frameworks_are_averaged_seed_by_seed():
    runs = [
        make_run("net", [1, 0], [1], "tf", seed=0),
        make_run("net", [1, 1], [1], "torch", seed=0),
        make_run("net", [0, 0], [1], "tf", seed=1),
    ]
    table = tabulate(Results(runs=runs, costs={}))
    assert table.averages["net"].answers.tolist() == [[1, 0.5], [0, 0]]
    assert table.frameworks("net") == ["tf", "torch"]


def test_a_sample_that_is_not_complete_is_left_out():
    runs = [
        make_run("net", [1, 0, 1], [1], seed=0),
        make_run("net", [1, 0], [1], seed=1),
        make_run("other", [1, 1, 1], [1], seed=0),
    ]
    table = tabulate(Results(runs=runs, costs={}))
    assert len(table.ids) == 3
    assert table.rows["net", "torch"].samples == ((0, 0),)


def test_rows_share_their_images():
    runs = [make_run("net", [1, 0, 1], [1]), make_run("other", [0, 1], [1])]
    table = tabulate(Results(runs=runs, costs={}))
    assert table.ids == ("test 0000", "test 0001")
    assert table.rows["net", "torch"].accuracy == 0.5


def test_the_luck_of_the_networks_of_a_sample_averages_out():
    one = tabulate(Results(runs=[make_run("net", [1, 0], [1])], costs={})).prior
    runs = [
        FinalRun(
            candidate="net",
            framework="tf",
            fold=fold,
            test=answers(f"fold {fold}", [1, 0]),
            validation=answers("val", [1]),
        )
        for fold in range(4)
    ]
    four = tabulate(Results(runs=runs, is_folds=True, costs={})).prior
    assert (one.middle, four.middle) == (0.04, 0.02)


def test_groups_are_numbered():
    numbers = number_groups({"a": "p2", "b": "p1", "c": "p2"}, ["a", "b", "c"])
    assert np.array_equal(numbers, [1, 0, 1])
    assert number_groups(None, ["a"]) is None


def test_the_effect_of_seeds_is_that_of_one_framework():
    runs = [
        make_run(name, [1, seed, 0], [1], framework, seed=seed)
        for name, frameworks in (("a", ("tf", "torch")), ("b", ("tf", "torch")), ("c", ("torch",)))
        for framework in frameworks
        for seed in (0, 1)
    ]
    table = tabulate(Results(runs=runs, deterministic=frozenset("d"), costs={}))
    assert table.others("a", "tf") == [table.evidence["b", "tf"], table.evidence["c", "torch"]]
