"""Estimates of what a cell will cost."""

import pytest

from poc.shared.actions.study.candidates import Candidate
from poc.shared.actions.study.costs import FRAMEWORK_RATIO, Costs
from poc.shared.actions.study.jobs import Job, Outcome, Trial
from poc.shared.spec.splits import SplitSpec

NET = Candidate(name="net", settings=("method=scratch",), tier=2, kind="normed")
HEAD = Candidate(name="head", settings=("method=knn",), tier=1)


def add(costs, candidate, backend, seconds, share=1.0, status="finished", phase="search"):
    job = Job(
        phase=phase,
        candidate=candidate,
        backend=backend,
        split=SplitSpec(),
        seed=0,
        place="trial=0",
        share=share,
    )
    costs.add(Trial(job, Outcome(status, seconds)))


def test_nothing_is_known_before_the_first_cell():
    assert Costs().estimate(NET, 1.0, "torch") is None


def test_a_candidate_is_measured_by_its_own_cells():
    costs = Costs()
    for seconds in (4.0, 6.0):
        add(costs, HEAD, "torch", seconds)
    add(costs, NET, "torch", 50.0)
    assert costs.estimate(HEAD, 1.0, "torch") == 5.0


def test_a_new_candidate_costs_the_mean_of_all():
    costs = Costs()
    add(costs, HEAD, "torch", 5.0)
    assert costs.estimate(NET, 0.125, "torch") == 5.0


def test_a_larger_share_grows_in_proportion():
    costs = Costs()
    add(costs, NET, "torch", 8.0, share=0.25)
    assert costs.estimate(NET, 1.0, "torch") == 32.0
    assert costs.estimate(NET, 0.125, "torch") == 8.0


def test_the_ratio_of_the_frameworks_is_assumed_then_measured():
    costs = Costs()
    add(costs, HEAD, "torch", 5.0)
    assert costs.estimate(HEAD, 1.0, "tf") == pytest.approx(5.0 * FRAMEWORK_RATIO)
    add(costs, NET, "torch", 10.0)
    add(costs, NET, "tf", 30.0)
    assert costs.estimate(HEAD, 1.0, "tf") == pytest.approx(15.0)


def test_a_cell_that_was_stopped_is_no_measurement():
    costs = Costs()
    add(costs, NET, "torch", 60.0, status="stopped")
    assert costs.estimate(NET, 1.0, "torch") is None


def test_a_cell_of_the_finals_is_measured_by_finals():
    """The search shares the outputs of frozen layers, so that its cells are cheaper."""
    costs = Costs()
    add(costs, HEAD, "torch", 2.0)
    assert costs.estimate(HEAD, 1.0, "torch", "finals") == 2.0
    add(costs, HEAD, "torch", 7.0, phase="finals")
    assert costs.estimate(HEAD, 1.0, "torch", "finals") == 7.0
    assert costs.estimate(HEAD, 1.0, "torch") == 2.0
