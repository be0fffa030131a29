"""The search on simulated cells: order, halving, what is behind, the share of the budget."""

from collections import Counter

import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.search import SEARCH_END, SHARES
from poc.tests.helpers.studies.simulated_cells import run_simulated

CANDIDATES = list_candidates(["good.pt", "bad.pt"])
# Name -> (accuracy, seconds of all of its epochs).
WORLDS = {
    "logistic on good": (0.95, 2.0),
    "logistic on bad": (0.7, 2.0),
    "knn on good": (0.93, 2.0),
    "knn on bad": (0.65, 2.0),
    "lightlayers k=3": (0.75, 60.0),
    "small net of conv2d": (0.85, 60.0),
    "fine-tuned good": (0.97, 100.0),
    "fine-tuned bad": (0.72, 100.0),
    "FixRes good": (0.965, 110.0),
    "FixRes bad": (0.71, 110.0),
    **{f"lightlayers k={k}": (0.7, 60.0) for k in (1, 2, 4, 5)},
    "small net of separable": (0.8, 60.0),
}


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return run_simulated(tmp_path_factory.mktemp("long") / "study", CANDIDATES, WORLDS, 3600)


def test_every_candidate_is_tried_cheaply_first(long):
    search = long[0]
    first = search.trials[: len(CANDIDATES)]
    assert [trial.job.candidate for trial in first] == CANDIDATES
    assert {trial.job.share for trial in first if trial.job.candidate.kind} == {SHARES[0]}
    assert not search.skipped


def test_the_good_ones_get_more_epochs_and_the_poor_ones_are_stopped(long):
    counts = Counter(trial.job.candidate.name for trial in long[0].trials)
    assert counts["fine-tuned good"] == max(counts.values()) > 8
    assert counts["lightlayers k=1"] <= 2
    assert long[0].best(CANDIDATES[6]).job.share == 1.0


def test_settings_are_promoted_before_new_ones_are_tried(long):
    own = [t for t in long[0].trials if t.job.candidate.name == "fine-tuned good"]
    assert [trial.job.share for trial in own[:4]] == list(SHARES)
    assert own[1].job.proposal == own[0].job.proposal
    assert len({str(trial.job.proposal) for trial in own}) > 4


def test_a_fitted_head_runs_once(long):
    counts = Counter(trial.job.candidate.name for trial in long[0].trials)
    assert {counts[item.name] for item in CANDIDATES if item.kind is None} == {1}


def test_the_best_candidate_is_found(long):
    assert long[0].ranked()[0].job.candidate.name == "fine-tuned good"


def test_no_cell_of_the_search_has_a_test_part(long):
    assert all(trial.job.split.hold_test_back for trial in long[0].trials)


@pytest.mark.parametrize("budget", [180, 300, 900, 3600])
def test_the_search_keeps_its_share(tmp_path, budget):
    search = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, budget)[0]
    seconds = sum(trial.outcome.seconds for trial in search.trials)
    assert seconds <= SEARCH_END * budget
    assert search.ranked()


def test_a_candidate_that_is_too_slow_is_named(tmp_path):
    worlds = {**WORLDS, "fine-tuned good": (0.97, 5000.0)}
    search = run_simulated(tmp_path / "study", CANDIDATES, worlds, 600)[0]
    assert search.skipped["fine-tuned good"].startswith("no time was left for it (a cell takes")
    assert not any(trial.outcome.status == "stopped" for trial in search.trials)


def test_a_candidate_that_is_slower_than_its_forecast_is_stopped(tmp_path):
    worlds = {**WORLDS, "fine-tuned good": (0.97, 5000.0, 100.0)}
    search = run_simulated(tmp_path / "study", CANDIDATES, worlds, 600)[0]
    assert search.skipped["fine-tuned good"].startswith("stopped after")


def test_a_candidate_whose_first_share_does_not_fit_begins_with_less(tmp_path):
    """An eighth would take over half of the time that the search has left, a quarter of it not."""
    worlds = {**WORLDS, "fine-tuned good": (0.97, 1800.0), "FixRes good": (0.965, 9000.0)}
    search = run_simulated(tmp_path / "study", CANDIDATES, worlds, 600)[0]
    own = [t for t in search.trials if t.job.candidate.name == "fine-tuned good"]
    assert own[0].job.share in (SHARES[0] / 2, SHARES[0] / 4)
    assert own[0].outcome.is_finished
    assert "FixRes good" in search.skipped


def test_what_had_no_time_is_named(tmp_path):
    search = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, 60)[0]
    assert any("no time was left for it" in reason for reason in search.skipped.values())
