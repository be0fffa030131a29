"""The finals: which plan fits, in which order cells run, and the end of the time."""

from collections import Counter
from dataclasses import replace

import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.finals import MAX_FINALISTS, list_sizes
from poc.shared.data.protocol.protocol import SEARCH_SEEDS
from poc.tests.helpers.studies.simulated_cells import run_simulated
from poc.tests.shared.actions.study.test_search import CANDIDATES, WORLDS


def test_two_finalists_in_both_frameworks_come_before_more_in_one():
    assert list(list_sizes(4, 2)) == [
        *((4, 4), (4, 3), (4, 2), (3, 3), (3, 2), (2, 2)),
        *((4, 1), (3, 1), (4, 0), (3, 0), (2, 1), (2, 0), (1, 1), (1, 0)),
    ]
    assert list(list_sizes(2, 2)) == [(2, 2), (2, 1), (2, 0), (1, 1), (1, 0)]
    assert list(list_sizes(1, 2)) == [(1, 1), (1, 0)]
    assert list(list_sizes(1, 1)) == [(1,), (1,)]
    assert list(list_sizes(3, 1)) == [(3,), (2,), (1,), (1,)]
    assert list(list_sizes(0, 2)) == []


def test_frameworks_that_have_both_searched_test_as_many_each():
    assert list(list_sizes(3, 2, is_equal=True)) == [
        *((3, 3), (2, 2), (3, 0), (2, 0), (1, 1), (1, 0)),
    ]


def test_where_two_finalists_do_not_fit_into_both_frameworks_the_best_one_is_confirmed(tmp_path):
    """Half an hour of seven small nets had three finalists in one framework, and time left over."""
    worlds = {net.name: (0.8, 30.0) for net in list_candidates([])}
    _, plan, _, runner = run_simulated(tmp_path / "study", list_candidates([]), worlds, 1350)
    own = [row.trial.job.candidate.name for row in plan.rows if row.framework == "tf"]
    assert own == [plan.finalists[0].job.candidate.name]
    assert len(plan.finalists) >= 3
    assert runner.time.seconds >= 0.85 * 1350


def test_the_time_that_a_second_framework_does_not_need_tests_more_candidates(tmp_path):
    """In an hour only two of many candidates were tested, and half of it was left over."""
    worlds = {
        "knn on good": (0.92, 1.0),
        "logistic on good": (0.9, 2.0),
        "fine-tuned good": (0.7, 250.0),
    }
    candidates = list_candidates(["good.pt"], ["knn", "logistic", "transfer"])
    _, plan, finals, runner = run_simulated(tmp_path / "study", candidates, worlds, 3600)
    assert runner.time.seconds <= 3600
    assert len(plan.finalists) == 3
    rows = [(trial.job.candidate.name, trial.job.backend) for trial in finals]
    assert rows.count(("fine-tuned good", "torch")) == 5
    assert ("fine-tuned good", "tf") not in rows


@pytest.mark.parametrize("budget", [180, 300, 900, 3600])
def test_the_budget_is_kept_and_each_split_is_complete(tmp_path, budget):
    _, plan, finals, runner = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, budget)
    assert runner.time.seconds <= budget
    assert len(finals) == 5 * len(plan.rows)
    folds = [trial.job.split.fold for trial in finals]
    assert folds == sorted(folds)
    assert all(not trial.job.split.hold_test_back for trial in finals)


def test_a_long_budget_has_both_frameworks_and_many_finalists(tmp_path):
    _, plan, _, _ = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, 14400)
    assert (len(plan.finalists), plan.frameworks) == (MAX_FINALISTS, ("torch", "tf"))


def test_finals_have_the_settings_that_the_search_found(tmp_path):
    search, plan, finals, _ = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, 3600)
    assert list(plan.finalists) == search.ranked()[: len(plan.finalists)]
    found = {trial.job.candidate.name: trial.job for trial in plan.finalists}
    for trial in finals:
        best = found[trial.job.candidate.name]
        assert (trial.job.proposal, trial.job.share) == (best.proposal, best.share)


def test_on_a_holdout_three_networks_choose_and_others_are_tested(tmp_path):
    """A fitted head has one network, whatever the seed."""
    _, plan, finals, _ = run_simulated(
        tmp_path / "study", CANDIDATES, WORLDS, 3600, num_images=2000
    )
    nets = [t.job.candidate for t in plan.finalists if not t.job.candidate.is_deterministic]
    name = nets[0].name
    again = [t.job for t in finals if t.job.phase == "search" and t.job.candidate.name == name]
    assert [job.seed for job in again] == list(SEARCH_SEEDS[1:])
    assert all(job.split.hold_test_back and job.backend == "torch" for job in again)
    tested = [t.job for t in finals if t.job.phase == "finals"]
    assert not {job.seed for job in tested} & set(SEARCH_SEEDS)
    rows = Counter(row.trial.job.candidate.name for row in plan.rows)
    heads = {t.job.candidate.name for t in plan.finalists if t.job.candidate.is_deterministic}
    for head in heads:
        assert len([job for job in tested if job.candidate.name == head]) == rows[head]
    assert len([job for job in tested if job.candidate.name == name]) == 3 * rows[name]


def test_a_budget_below_one_finalist_tests_what_it_can(tmp_path):
    """The finals end with the time."""
    candidates = list_candidates(["good.pt"], ["logistic"])
    worlds = {"logistic on good": (0.9, 30.0)}
    _, plan, finals, runner = run_simulated(tmp_path / "study", candidates, worlds, 120)
    assert len(plan.finalists) == 1
    assert 0 < len(finals) < 5
    assert runner.time.seconds <= 120


@pytest.mark.parametrize(("budget", "factor"), [(300, 3.0), (300, 6.0), (900, 12.0)])
def test_a_plan_that_is_too_large_shrinks_and_is_tested_on_all_splits(tmp_path, budget, factor):
    _, plan, finals, runner = run_simulated(
        tmp_path / "study", CANDIDATES, WORLDS, budget, finals_factor=factor
    )
    assert runner.time.seconds <= budget
    rows = [(trial.job.candidate.name, trial.job.backend) for trial in finals]
    complete = {row for row in rows if rows.count(row) == 5}
    # The best one is complete; the rest was given up early, not cut off at the end.
    assert (plan.finalists[0].job.candidate.name, "torch") in complete
    last = {row for row, trial in zip(rows, finals, strict=True) if trial.job.split.fold == 4}
    assert last == complete
    assert len(rows) < 5 * len(plan.finalists) * len(plan.frameworks)


@pytest.mark.parametrize("slow", [10.0, 20.0])
def test_a_plan_grows_again_where_cells_turn_out_to_be_cheap(tmp_path, slow):
    """The first cell is slow, as on a busy machine: a row is given up, and comes back."""

    def factor(job):
        return slow if job.split.fold == 0 and job.candidate.name == "knn on good" else 1.0

    _, _, finals, runner = run_simulated(
        tmp_path / "study", CANDIDATES, WORLDS, 300, finals_factor=factor
    )
    assert runner.time.seconds <= 300
    names = [trial.job.candidate.name for trial in finals]
    assert names[:2] == ["knn on good", "knn on good"]
    assert names.count("knn on good") == names.count("logistic on good") == 5


@pytest.mark.parametrize("import_seconds", [0, 20])
def test_the_import_of_a_framework_is_no_cost_of_later_cells(tmp_path, import_seconds):
    """With the import in its cost, TensorFlow was given up though there was time for it."""
    worlds = {"logistic on good": (0.95, 2.0), "knn on good": (0.9, 2.0)}
    candidates = list_candidates(["good.pt"], ["logistic", "knn"])
    _, _, finals, _ = run_simulated(
        tmp_path / "study", candidates, worlds, 180, import_seconds=import_seconds
    )
    assert len(finals) == 5 * 2 * 2


def test_where_each_framework_searches_each_tests_its_own_finalists(tmp_path):
    search, plan, finals, runner = run_simulated(
        tmp_path / "study", CANDIDATES, WORLDS, 14400, searching=("torch", "tf")
    )
    assert runner.time.seconds <= 14400
    assert {row.framework for row in plan.rows} == {"torch", "tf"}
    assert all(row.trial.job.backend == row.framework for row in plan.rows)
    for own in search.each:
        best = own.ranked()[: len(plan.rows) // 2]
        rows = [row.trial.job for row in plan.rows if row.framework == own.framework]
        # With the epochs of the one that had the most.
        assert rows == [replace(trial.job, share=1.0) for trial in best]
    found = {(row.trial.job.candidate.name, row.framework): row.trial.job for row in plan.rows}
    for trial in finals:
        best = found[trial.job.candidate.name, trial.job.backend]
        assert (trial.job.proposal, trial.job.share) == (best.proposal, best.share)


def test_on_a_holdout_each_framework_has_its_own_networks_that_choose(tmp_path):
    _, plan, finals, _ = run_simulated(
        tmp_path / "study", CANDIDATES, WORLDS, 14400, num_images=2000, searching=("torch", "tf")
    )
    again = [t.job for t in finals if t.job.place == "again"]
    nets = {
        (row.trial.job.candidate.name, row.framework)
        for row in plan.rows
        if not row.trial.job.candidate.is_deterministic
    }
    assert {(job.candidate.name, job.backend) for job in again} >= nets
    assert {job.backend for job in again} == {"torch", "tf"}
    assert all(job.split.hold_test_back for job in again)


def test_finalists_get_equal_epochs_where_these_fit(tmp_path):
    """Two nets of eight kept an eighth of their epochs, and were called worse than the others."""
    worlds = {net.name: (0.8, 30.0) for net in list_candidates([])}
    search, plan, finals, runner = run_simulated(
        tmp_path / "study", list_candidates([]), worlds, 3600
    )
    assert len({trial.job.share for trial in search.ranked()}) > 1
    assert {trial.job.share for trial in plan.finalists} == {1.0}
    assert {trial.job.share for trial in finals} == {1.0}
    assert len(plan.finalists) == MAX_FINALISTS
    assert runner.time.seconds <= 3600


def test_unlike_epochs_are_kept_where_equal_ones_leave_too_few_finalists(tmp_path):
    worlds = {net.name: (0.8, 30.0) for net in list_candidates([])}
    _, plan, *_ = run_simulated(tmp_path / "study", list_candidates([]), worlds, 900)
    assert len({trial.job.share for trial in plan.finalists}) > 1
    assert len(plan.finalists) >= 3
