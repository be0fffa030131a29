"""The page of an experiment, its sentences, its picture and its files."""

import itertools

import pandas as pd
import pytest

from poc.shared.analysis.habits.page import analyse_outcomes, write_analysis
from poc.shared.analysis.habits.waterfall import list_steps
from poc.tests.helpers.habits.outcomes import HABITS, additive, make_outcomes, make_plan


def analyse(plan, accuracy=additive, **changes):
    return analyse_outcomes(make_outcomes(plan, accuracy, **changes))


def test_the_files_of_an_experiment(tmp_path):
    analysis = analyse(make_plan())
    paths = write_analysis(analysis, tmp_path, "poc habits --analyse <DIR>")
    assert [path.name for path in paths] == ["index.html", "habits.md", "runs.csv", "effects.csv"]
    page = paths[0].read_text()
    assert page.count("<svg") == 2
    assert "&lt;DIR&gt;" in page
    assert "4 of 4 sets are more than 0.05 apart with native habits, 0 of 4 with common" in page
    assert "Not shown to change it: padding." in page
    assert "it changes nothing in this run" in page
    runs = pd.read_csv(paths[2])
    assert len(runs) == 64
    assert runs["optimizer.learning_rate"].nunique() == 4
    effects = pd.read_csv(paths[3])
    alone = effects.query("habit == 'optimizer' and contrast == 'alone' and quantity == 'gap'")
    assert alone["mean"].item() == pytest.approx(-0.305)
    assert "| optimizer | native alone |" in paths[1].read_text()


def test_the_bars_lead_from_common_to_native():
    steps = list_steps(analyse(make_plan()).effects, HABITS, "gap")
    assert next(step.name for step in steps) == "all common"
    changes = steps[1:-1]
    assert changes[0].start == 0
    for before, after in itertools.pairwise(changes):
        assert after.start == pytest.approx(before.end)
    # The interaction of two habits is the rest.
    assert changes[-1].end - changes[-1].start == pytest.approx(-0.04)
    assert changes[-1].end == pytest.approx(steps[-1].end) == pytest.approx(-0.405)


def test_without_arms_of_single_habits_there_is_no_picture(tmp_path):
    paths = write_analysis(analyse(make_plan(design="ends")), tmp_path, "poc habits")
    assert "<svg" not in paths[0].read_text()


def test_equal_frameworks_are_not_called_different(tmp_path):
    analysis = analyse(make_plan(), accuracy=lambda cell: 0.7)
    text = " ".join(analysis.sentences)
    assert "With all native habits, no difference is shown" in text
    page = write_analysis(analysis, tmp_path, "poc habits")[0].read_text()
    assert "no habit has a share of it" in page


def test_missing_runs_are_named(tmp_path):
    plan = make_plan()
    name = plan.cells[0].name
    page = write_analysis(analyse(plan, missing=[name]), tmp_path, "c")[0].read_text()
    assert f"1 of 64 runs have no result, the first is {name}: has not run yet" in page


def curve(cell):
    """TensorFlow needs two epochs more with native habits."""
    delay = 2 * (cell.backend == "tf" and bool(cell.native))
    return [{"epoch": epoch, "val/accuracy": 0.1 * (epoch - delay)} for epoch in range(1, 12)]


def test_epochs_to_a_target():
    plan = make_plan(num_sets=1, num_seeds=6, target=0.55)
    analysis = analyse(plan, epochs=curve)
    rows = {(row.arm, row.candidate): row for row in analysis.targets}
    assert rows["native", "torch"].found.candidate == 6
    assert rows["native", "torch"].found.reference == 8
    assert rows["native", "torch"].adjusted < 0.001
    assert rows["common", "torch"].found.p_value == 0.5
    text = " ".join(analysis.sentences)
    assert "With native habits, PyTorch needs fewer epochs to the target than TensorFlow." in text
    assert "With common habits, neither framework is shown to need fewer" in text


def test_a_target_that_is_never_reached(tmp_path):
    plan = make_plan(num_sets=1, num_seeds=6, target=0.99)
    analysis = analyse(plan, epochs=lambda cell: [{"epoch": 1, "val/accuracy": 0.5}])
    assert "too few runs reach the target" in " ".join(analysis.sentences)
    page = write_analysis(analysis, tmp_path, "c")[0].read_text()
    assert "6 and 6 of 6 and 6" in page
