"""The page of a study, finished or not."""

from dataclasses import replace

import pytest

from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.decision import LearningCurve
from poc.shared.analysis.study.page import SearchRow, StudyState, render_study
from poc.tests.helpers.studies.tables import LARGE, SMALL, make_results

ROW = SearchRow(
    candidate="small",
    framework="torch",
    settings="rate 0.003",
    share=0.25,
    status="finished",
    accuracy=0.81,
    seconds=4.0,
)


def render(**changes):
    fields = {
        "data": "folder:<photos>",
        "command": "poc study",
        "protocol": ["The data has one test part of 400 images; 3 runs per finalist."],
        "budget_seconds": 300.0,
        "used_seconds": 120.0,
        "search": [ROW],
        "num_finals": 0,
    }
    return render_study(StudyState(**{**fields, **changes}))


def test_a_page_of_a_study_that_runs_says_so():
    page = render(search=[ROW, SearchRow(**{**vars(ROW), "status": "stopped", "accuracy": 0.9})])
    assert "This study is not finished." in page
    assert "small, 81.0 % of them right" in page
    assert "2.0 min of 5.0 min" in page
    assert "<h2>Finalists</h2>" not in page


def test_a_finished_page_opens_with_the_decision():
    costs = {"large": LARGE, "small": SMALL}
    decision = decide(make_results({"large": 0.9, "small": 0.88}, costs))
    page = render(decision=decision, warnings=["One candidate was left out."])
    first = decision.sentences[0]
    assert page.index(first) < page.index("One candidate was left out.") < page.index("Finalists")
    assert page.index(first) < page.index("<svg") < page.index("One candidate was left out.")
    assert "40,000.0" in page


def test_costs_of_files_and_a_learning_curve_have_tables():
    costs = {
        "large": replace(LARGE, file_bytes=4.1e7, batch_latency_seconds=1.2345),
        "small": replace(SMALL, latency_seconds=0.000234),
    }
    decision = decide(make_results({"large": 0.9, "small": 0.88}, costs))
    page = render(decision=decision)
    assert "41,000.0" in page
    assert ">1,234</td>" in page or ">1,235</td>" in page
    assert ">0.234</td>" in page
    assert "Learning curve" not in page
    curve = LearningCurve(
        points=((50, 0.7, 0.6, 0.8), (1000, 0.8, 0.7, 0.9)),
        gain=0.1,
        interval=(0.04, 0.16),
        helps=True,
    )
    page = render(decision=decision.model_copy(update={"learning_curve": curve}))
    assert "<h2>Learning curve</h2>" in page
    assert "0.6000 to 0.8000" in page


def test_names_are_data_and_are_escaped():
    page = render(skipped={"<b>net</b>": "no time was left for it"})
    assert "folder:&lt;photos&gt;" in page
    assert "&lt;b&gt;net&lt;/b&gt;" in page


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_a_trial_without_a_network_shows_its_status(status):
    assert f">{status}</td>" in render(search=[SearchRow(**{**vars(ROW), "status": status})])
