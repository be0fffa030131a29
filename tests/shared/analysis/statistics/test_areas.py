"""The interval of an area under the ROC curve: its equation, its ends and its coverage."""

import numpy as np
import pytest
from scipy.stats import norm

from poc.shared.analysis.statistics.areas import area_interval
from poc.shared.engine.numerics.metrics import Z_95
from poc.shared.engine.numerics.ranking import Placements, place


def newcombe_variance(area, num_positive, num_negative):
    """Newcombe (2006), method 5, written out."""
    middle = (num_positive + num_negative) / 2 - 1
    inner = 1 + middle * (1 - area) / (2 - area) + middle * area / (1 + area)
    return area * (1 - area) * inner / (num_positive * num_negative)


def draw(random, sizes, area, spread):
    middle = norm.ppf(area) * np.sqrt(1 + spread**2)
    scores = np.r_[random.normal(middle, spread, sizes[0]), random.normal(size=sizes[1])]
    return place(scores, np.arange(sum(sizes)) < sizes[0])


def test_its_ends_solve_the_equation():
    """Where DeLong's variance is the smaller one: |A - end| = z sqrt(Var(end))."""
    places = Placements(np.full(30, 0.8), np.full(50, 0.8))
    for end in area_interval(places):
        assert abs(0.8 - end) == pytest.approx(Z_95 * newcombe_variance(end, 30, 50) ** 0.5)


def test_a_larger_variance_of_the_scores_widens_it():
    random = np.random.default_rng(0)
    positive = np.where(random.random(40) < 0.8, 1.0, 0.0)
    places = Placements(positive, np.full(400, positive.mean()))
    delong = positive.var(ddof=1) / 40
    factor = delong / newcombe_variance(places.area, 40, 400)
    assert factor > 1.2
    for end in area_interval(places):
        variance = factor * newcombe_variance(end, 40, 400)
        assert abs(places.area - end) == pytest.approx(Z_95 * variance**0.5)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 9), (10, 10), (200, 3)])
def test_separate_classes_have_no_point_as_interval(sizes):
    whole = Placements(np.ones(sizes[0]), np.ones(sizes[1]))
    low, high = area_interval(whole)
    assert 0 < low < high == 1.0
    none = Placements(np.zeros(sizes[0]), np.zeros(sizes[1]))
    assert area_interval(none) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("area", "sizes"), [(0.7, (10, 90)), (0.9, (30, 30)), (0.97, (50, 450)), (0.99, (10, 90))]
)
def test_it_contains_the_true_area_in_19_of_20_draws(area, sizes, spread):
    """In 92 % at the least: the share of 300 draws has a standard error of 1.3 points."""
    random = np.random.default_rng(sizes)
    ends = [area_interval(draw(random, sizes, area, spread)) for _ in range(300)]
    assert np.mean([low <= area <= high for low, high in ends]) >= 0.92
