"""Whether more images help: a paired gain on the same test images."""

import numpy as np
import pytest

from poc.shared.analysis.study.learning_curve import measure_curve, measure_gain
from poc.shared.analysis.study.results import LearningPoint
from poc.shared.errors import UsageError
from poc.tests.helpers.studies.tables import answers

IDS = [f"test {index:04d}" for index in range(500)]


def draw_points(accuracies, num_seeds=3):
    random = np.random.default_rng(0)
    ease = random.random(500)
    return [
        LearningPoint(
            share=share,
            num_images=int(400 * share),
            answers=[
                answers("test", np.where(random.random(500) < 0.2, random.random(500), ease) < own)
                for _ in range(num_seeds)
            ],
        )
        for share, own in zip((0.25, 0.5, 1.0), accuracies, strict=True)
    ]


def test_a_gain_is_that_of_the_last_step():
    gain = measure_gain(draw_points([0.5, 0.7, 0.82]), None, IDS)
    assert (gain.num_before, gain.num_after, gain.is_shown) == (200, 400, True)
    assert gain.low < 0.12 < gain.high


def test_an_equal_accuracy_and_a_loss_are_no_gain():
    assert not measure_gain(draw_points([0.7, 0.8, 0.8]), None, IDS).is_shown
    loss = measure_gain(draw_points([0.7, 0.9, 0.6]), None, IDS)
    assert loss.high < 0
    assert not loss.is_shown


def test_one_point_is_no_curve():
    assert measure_gain(draw_points([0.7, 0.8, 0.8])[-1:], None, IDS) is None


def test_points_have_intervals():
    points = measure_curve(draw_points([0.5, 0.7, 0.82]), None, IDS)
    assert [point.num_images for point in points] == [100, 200, 400]
    assert all(point.low < point.accuracy < point.high for point in points)


def test_points_are_tested_on_the_same_images():
    points = draw_points([0.5, 0.7, 0.82])
    with pytest.raises(UsageError, match="was not tested on 'elsewhere'"):
        measure_gain(points, None, [*IDS, "elsewhere"])
