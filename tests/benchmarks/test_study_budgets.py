"""Simulated budgets: `benchmarks/study_budgets.py`."""

from poc.benchmarks.study_budgets import World, describe, run_study


def test_a_simulated_study_keeps_its_budget_and_tests_more_than_one(tmp_path):
    found = run_study(World(0, 200), 420, tmp_path / "study")
    assert found.num_finalists >= 2
    assert 0.5 < found.used <= 1
    assert 0 <= found.regret < found.accuracy < 1


def test_a_world_gives_the_same_study_again(tmp_path):
    first, again = (run_study(World(1, 200), 180, tmp_path / name) for name in ("a", "b"))
    assert first == again
    assert describe([first]) == describe([first, again])
    assert run_study(World(2, 200), 180, tmp_path / "c") != first
