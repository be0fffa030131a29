"""Searches of one framework or of each: turns, fair shares of the time, names of what was left."""

import pytest

from poc.tests.helpers.studies.simulated_cells import Killed, run_simulated
from poc.tests.shared.actions.study.test_search import CANDIDATES, WORLDS

BOTH = ("torch", "tf")


@pytest.mark.parametrize("budget", [300, 1800])
def test_each_framework_searches_in_a_fair_share_of_the_time(tmp_path, budget):
    search = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, budget, searching=BOTH)[0]
    spent = {own.framework: own.seconds for own in search.each}
    longest = max(trial.outcome.seconds for own in search.each for trial in own.trials)
    assert abs(spent["torch"] - spent["tf"]) <= longest
    assert all(own.framework == trial.job.backend for own in search.each for trial in own.trials)


def test_each_proposes_by_its_own_trials(tmp_path):
    """Both begin with the recipe, and go apart when their results do."""
    search = run_simulated(tmp_path / "study", CANDIDATES, WORLDS, 3600, searching=BOTH)[0]
    tried = [
        [t.job.proposal for t in own.trials if t.job.candidate.name == "fine-tuned good"]
        for own in search.each
    ]
    assert tried[0][0] == tried[1][0]
    assert tried[0] != tried[1]


def test_what_is_skipped_names_its_framework(tmp_path):
    worlds = {**WORLDS, "fine-tuned good": (0.97, 5000.0)}
    search = run_simulated(tmp_path / "study", CANDIDATES, worlds, 600, searching=BOTH)[0]
    assert {"fine-tuned good in PyTorch", "fine-tuned good in TensorFlow"} <= set(search.skipped)


def test_a_search_that_is_killed_goes_on_with_the_same_cells(tmp_path):
    whole = run_simulated(tmp_path / "whole", CANDIDATES, WORLDS, 600, searching=BOTH)
    ran, kill_at, runner = [], 7, None
    while runner is None:
        try:
            runner = run_simulated(
                tmp_path / "study", CANDIDATES, WORLDS, 600, searching=BOTH, kill_at=kill_at
            )[3]
        except Killed:
            kill_at = None
    ran = (tmp_path / "study" / "study.jsonl").read_text().splitlines()
    assert len(ran) == len(whole[3].ran)
    assert [key for key in whole[3].ran if key.startswith("finals")][-1] in ran[-1]
