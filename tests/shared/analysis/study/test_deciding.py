"""Decisions on drawn tables: what is recommended, expected, equal, better, open."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.decision import Decision
from poc.shared.analysis.study.results import Results
from poc.tests.helpers.studies.tables import LARGE, SMALL, make_results, make_run


@pytest.fixture(scope="module")
def decision():
    """`large` and `small` are equally good, `small` is cheaper; `weak` is far behind."""
    accuracies = {"large": 0.88, "small": 0.875, "weak": 0.6}
    costs = {"large": LARGE, "small": SMALL, "weak": LARGE}
    return decide(
        make_results(accuracies, costs, num_images=1500, num_seeds=5, smallest_difference=0.1)
    )


def test_the_recommended_row_and_what_to_expect(decision):
    assert decision.recommended.candidate in ("large", "small")
    low, high = decision.interval
    assert low < 0.88 < high
    assert high - low < 0.08
    assert low < decision.expected_accuracy < high
    assert len(decision.recommended.runs) == 5
    assert (decision.num_test_images, decision.num_test_groups) == (1500, None)


def test_claims_name_the_weak_one_alone(decision):
    assert {claim.worse for claim in decision.better_than} == {"weak"}
    assert all(claim.interval[0] > 0 for claim in decision.better_than)


def test_what_is_equal_and_cheaper_is_named(decision):
    if decision.recommended.candidate == "small":
        assert decision.equivalent == ()
        return
    (item,) = decision.equivalent
    assert item.candidate == "small"
    assert item.size_ratio == pytest.approx(1 / 400)
    assert item.latency_ratio == pytest.approx(1 / 15)
    assert item.is_within_margin


def test_the_larger_one_is_chosen_in_this_table(decision):
    """Otherwise the test above would not test much."""
    assert decision.recommended.candidate == "large"


def test_open_questions_have_a_remedy(decision):
    (question,) = decision.open_questions
    assert {question.first, question.second} == {"large", "small"}
    assert question.interval[0] < question.difference < question.interval[1]


def test_frameworks_are_equal_here(decision):
    assert [item.better for item in decision.frameworks] == [None, None, None]


def test_the_front_has_the_cheap_and_the_good(decision):
    assert {name for name, _ in decision.pareto["weight_bytes"]} <= {"large", "small"}
    assert "small" in {name for name, _ in decision.pareto["latency_seconds"]}


def test_a_decision_is_its_json(decision):
    assert Decision.from_json(decision.to_json()) == decision


def test_a_framework_that_is_worse_is_named():
    found = decide(make_results({"a": {"tf": 0.9, "torch": 0.7}}, num_images=800, num_seeds=5))
    assert found.frameworks[0].better == "tf"
    assert found.recommended.framework == "tf"
    assert any("frameworks differ for a: TensorFlow" in text for text in found.sentences)


def test_a_deterministic_winner_has_wilsons_interval():
    """390 of 624, against SciPy's."""
    runs = [make_run("nearest", [1] * 390 + [0] * 234, [1, 1])]
    found = decide(Results(runs=runs, deterministic=frozenset(["nearest"]), costs={}))
    expected = binomtest(390, 624).proportion_ci(method="wilson")
    assert found.interval == pytest.approx(tuple(expected))


def test_patients_widen_the_interval():
    accuracies = {"a": 0.8}
    plain = decide(make_results(accuracies, num_images=400))
    groups = {f"test {index:04d}": f"patient {index // 40}" for index in range(400)}
    # Images of a patient are next to each other in difficulty.
    runs = make_results(accuracies, num_images=400).runs
    ordered = [
        make_run("a", np.sort(run.test.hits), run.validation.hits, run.framework, seed=run.seed)
        for run in runs
    ]
    grouped = decide(Results(runs=ordered, groups=groups, costs={}))
    assert grouped.num_test_groups == 10
    assert np.diff(grouped.interval) > 3 * np.diff(plain.interval)


def load_benchmark():
    """`benchmarks/study_quality.py`, which lies outside the package."""
    path = Path(__file__).parents[4] / "benchmarks" / "study_quality.py"
    spec = importlib.util.spec_from_file_location("study_quality", path)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(False, 150, 3), (True, 60, 1)])
def test_simulated_studies_are_honest(shape):
    """60 studies of known truth: 3 intervals that miss are expected, 9 are a fault of the rule."""
    benchmark = load_benchmark()
    setting, counts = benchmark.Setting(*shape), benchmark.Counts()
    for seed in range(60):
        counts.add(benchmark.simulate_study(np.random.default_rng([7, seed]), setting))
    assert np.sum(counts.is_covered) >= 52
    assert np.sum(counts.has_false_claim) <= 6
    assert abs(np.mean(counts.errors)) < 3 * np.std(counts.errors) / np.sqrt(60)
