"""Grad-CAM by hand, and against its formula written as loops."""

import numpy as np

from poc.shared.actions.explanations.grad_cam import (
    class_maps,
    enlarge,
    scale_to_one,
    weigh_channels,
)


def test_two_channels_by_hand():
    """Gradients 1, 3 and -1, -1: weights 2 and -1."""
    gradients = np.array([[[[1.0, -1.0], [3.0, -1.0]]]])
    maps = np.array([[[[4.0, 3.0], [1.0, 5.0]]]])
    assert weigh_channels(gradients).tolist() == [[2.0, -1.0]]
    # 2 * 4 - 3 = 5, and 2 * 1 - 5 = -3, which speaks against the class.
    assert class_maps(maps, gradients).tolist() == [[[5.0, 0.0]]]


def test_it_is_the_formula_of_the_paper():
    draw = np.random.default_rng(0)
    maps, gradients = draw.normal(size=(2, 3, 4, 5, 6))
    expected = np.zeros((3, 4, 5))
    for image in range(3):
        for channel in range(6):
            alpha = sum(gradients[image, i, j, channel] for i in range(4) for j in range(5)) / 20
            expected[image] += alpha * maps[image, :, :, channel]
    np.testing.assert_allclose(class_maps(maps, gradients), np.maximum(expected, 0), rtol=1e-12)


def test_float32_is_summed_in_float64():
    maps = np.full((1, 1, 1, 3), [2.0**25, 1.0, -(2.0**25)], dtype=np.float32)
    assert class_maps(maps, np.ones_like(maps)).item() == 1.0


def test_scaling_ends_at_one_image_by_image():
    scaled = scale_to_one(np.array([[[0.0, 2.0], [4.0, 1.0]], [[0.0, 1.0], [0.0, 0.5]]]))
    assert scaled.tolist() == [[[0.0, 0.5], [1.0, 0.25]], [[0.0, 1.0], [0.0, 0.5]]]


def test_a_map_of_zeros_stays_zero():
    scaled = scale_to_one(np.array([[[0.0, 0.0]], [[0.0, 2.0]]]))
    assert scaled.tolist() == [[[0.0, 0.0]], [[0.0, 1.0]]]


def test_enlarging_keeps_the_centres_and_never_leaves_the_range():
    one = np.array([[0.0, 1.0]])
    # Half-pixel centres: pixel i of four reads at (i + 0.5) / 2 - 0.5.
    assert enlarge(one, 1, 4).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert enlarge(one, 3, 4).shape == (3, 4)
