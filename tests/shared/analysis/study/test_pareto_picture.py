"""The Pareto picture: panels of known costs, a staircase, and the numbers below."""

import re
from xml.etree import ElementTree

import pytest

from poc.shared.analysis.figures.drawing import BACKEND_COLOURS
from poc.shared.analysis.study.costs import Cost
from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.decision import MeasuredCost
from poc.shared.analysis.study.pareto_picture import draw_pareto
from poc.tests.helpers.studies.tables import LARGE, SMALL, make_results

ACCURACIES = {"large": 0.9, "small": 0.8, "slow": 0.6}


@pytest.fixture(scope="module")
def decision():
    costs = {"large": LARGE, "small": SMALL, "slow": LARGE}
    return decide(make_results(ACCURACIES, costs, num_images=200))


def test_a_panel_per_cost_with_each_row(decision):
    picture = draw_pareto(decision)
    assert len(picture.panels) == 3
    for panel in picture.panels:
        ElementTree.fromstring(panel)
        dots = [panel.count(f"fill: {colour}") for colour in BACKEND_COLOURS.values()]
        assert min(dots) >= 3
        # Numbers stand for the names, the most accurate first.
        assert all(re.search(f">{number}</text>", panel) for number in (1, 2, 3))
    assert picture.description.startswith("1 large; 2 small; 3 slow.")
    assert len(picture.table.rows) == 6
    assert picture.table.rows[0][0] == "1 large tf"
    assert picture.table.rows[0][3:] == ["40,000.0", "30.00", "200.0"]


def test_the_front_is_drawn(decision):
    """From small at 100 kB to large at 40,000 kB: two levels."""
    (line,) = [
        line
        for line in draw_pareto(decision).panels[0].split("<path")
        if "stroke-opacity: 0.5" in line
    ]
    assert line.count("L ") >= 1


def test_nothing_measured_is_no_picture():
    assert draw_pareto(decide(make_results(ACCURACIES, num_images=50))) is None
    same = {name: Cost(weight_bytes=5.0) for name in ACCURACIES}
    assert draw_pareto(decide(make_results(ACCURACIES, same, num_images=50))) is None


def test_a_row_without_a_network_has_no_number(decision):
    guess = decision.candidates[0].model_copy(
        update={"candidate": "guess", "framework": "none", "cost": MeasuredCost(), "accuracy": 1.0}
    )
    rows = decision.model_copy(update={"candidates": (*decision.candidates, guess)})
    picture = draw_pareto(rows)
    assert picture.description.startswith("1 large; 2 small; 3 slow.")
    assert picture.table.rows[-1][0] == "- guess none"
