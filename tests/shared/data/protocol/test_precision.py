"""Expected precision: by hand, and the same assumption about seeds as the decision."""

import math

import pytest

from poc.shared.analysis.study.rows import NETWORK_SHARE
from poc.shared.data.protocol.precision import (
    SEED_SHARE,
    Precision,
    images_needed,
    mean_group_size,
)


def test_seeds_are_assumed_as_in_the_decision():
    assert SEED_SHARE == NETWORK_SHARE


def test_half_width_of_very_many_seeds_is_that_of_a_share():
    """1.96 sqrt(.8 .2 / 400) = .0392."""
    assert Precision(400, 10**9).half_width == pytest.approx(0.0392, abs=1e-4)


def test_seeds_widen_the_interval():
    """One run on very many images is worth 1 / k^2 = 625 images."""
    expected = 1.959964 * math.sqrt(0.16 / 625)
    assert Precision(10**9, 1).half_width == pytest.approx(expected, rel=1e-5)


def test_smallest_difference_of_five_points():
    """(1.96 + .8416)^2 .15 / .05^2 = 470.9 images, as tables of sample sizes for McNemar give."""
    assert images_needed(0.05) == 471
    assert Precision(471, 10**9).smallest_shown == pytest.approx(0.05, abs=1e-4)


def test_groups_count_as_fewer_images():
    """Ten images per patient: 1 + 9 * .2 = 2.8."""
    assert Precision(280, 10**9, 10.0).half_width == Precision(100, 10**9).half_width
    assert images_needed(0.05, 10.0) == math.ceil(2.8 * 470.9285)


def test_mean_size_is_that_of_an_image():
    """Of 12 images, 9 are in a group of 9 and 3 in groups of 1."""
    assert mean_group_size([9, 1, 1, 1]) == (81 + 3) / 12
    assert mean_group_size([1, 1]) == 1.0
