"""Time that the search keeps for the finals."""

from collections import Counter
from dataclasses import replace

import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.costs import Costs
from poc.shared.actions.study.jobs import Outcome, Trial
from poc.shared.actions.study.searching.reserve import (
    FEW,
    count_cells,
    count_testable,
    keeps_finalists,
)
from poc.shared.actions.study.searching.students import list_students
from poc.tests.helpers.studies.jobs import make_finals
from poc.tests.helpers.studies.simulated_cells import make_protocol, run_simulated

FOLDS, HOLDOUT = make_protocol(), make_protocol(2000)
NAMES = ("small net of conv2d", "small net of separable", "lightlayers k=3", "lightlayers k=5")
NETS = [next(item for item in list_candidates([]) if item.name == name) for name in NAMES]


def make_trials(share=0.25, seconds=10.0):
    """The best trials of four nets, and their costs."""
    job = replace(make_finals()[0], phase="search", share=share)
    trials = [
        Trial(replace(job, candidate=net), Outcome("finished", seconds, 0.9 - place / 100))
        for place, net in enumerate(NETS)
    ]
    costs = Costs()
    for trial in trials:
        costs.add(trial)
    return trials, costs


def test_finalists_are_counted_with_all_their_splits_and_a_margin():
    """Five folds of 10 seconds, and a tenth more, are 55 seconds."""
    trials, costs = make_trials()
    found = [count_testable(trials, FOLDS, costs, left) for left in (54, 56, 109, 111, 10_000)]
    assert found == [0, 1, 1, 2, 4]


def test_a_student_counts_with_its_teacher():
    trials, costs = make_trials()
    student = replace(trials[0].job, candidate=next(iter(list_students(NETS[1]))))
    taught = Trial(student, Outcome("finished", 10.0, 0.95))
    costs.add(taught)
    assert count_testable([taught, trials[1]], FOLDS, costs, 60) == 1
    assert count_testable([taught, trials[1]], FOLDS, costs, 111) == 2


def test_on_a_holdout_the_networks_that_choose_count():
    head = replace(make_finals("knn on good", weights=["good.pt"])[0], phase="search")
    assert count_cells(make_trials()[0][0].job, FOLDS) == 5
    assert count_cells(make_trials()[0][0].job, HOLDOUT) == 5
    assert count_cells(head, HOLDOUT) == 1
    assert count_cells(head, FOLDS) == 5


def promote(share, left, *, before=0.25):
    """Whether the best of four nets may have more epochs."""
    trials, costs = make_trials(before)
    seconds = 10.0 * share / before
    job = replace(trials[0].job, share=share)
    return keeps_finalists(job, seconds, trials, FOLDS, costs, left)


def test_a_trial_takes_neither_of_two_finalists():
    """Three eighths cost 15 seconds now, and 82.5 in the finals; the second net costs 55."""
    assert not promote(0.375, 150)
    assert promote(0.375, 153)


def test_half_of_the_epochs_leave_time_for_three():
    """20 seconds now, and 110, 55 and 55 in the finals."""
    assert not promote(0.5, 238)
    assert promote(0.5, 241)


def test_a_trial_is_free_where_two_finalists_do_not_fit_before_it():
    assert promote(0.5, 100)


def test_only_as_many_as_before_must_fit():
    """Before it two finalists fit, and a third does not."""
    assert promote(0.5, 160, before=0.5)


@pytest.mark.parametrize("budget", [200, 300, 420])
def test_a_short_budget_tests_more_than_one_of_several_alike(tmp_path, budget):
    """Studies of seven minutes tested one net on folds, since its full epochs left no time."""
    worlds = {net.name: (0.8, 30.0) for net in list_candidates([])}
    search, plan, finals, runner = run_simulated(
        tmp_path / "study", list_candidates([]), worlds, budget
    )
    tested = Counter(t.job.candidate.name for t in finals if t.job.backend == "torch")
    assert FEW <= len(plan.finalists) <= len(tested)
    assert set(tested.values()) == {5}
    assert runner.time.seconds <= budget
    assert not search.skipped


def test_the_only_candidate_gets_all_epochs(tmp_path):
    (net,) = [net for net in list_candidates([]) if net.name == NAMES[0]]
    search, *_ = run_simulated(tmp_path / "study", [net], {net.name: (0.8, 30.0)}, 420)
    assert search.best(net).job.share == 1.0
