"""The plain bilinear filter, by hand; tests/backends/test_resize.py holds it against TensorFlow."""

import numpy as np
import pytest

from poc.shared.data.sources.base import to_picture
from poc.shared.data.views.bilinear import nearest_pixels, resize_plainly
from poc.shared.data.views.view import augment_images, example_generator, plan_view
from poc.shared.engine.numerics.resizing import resize_matrix
from poc.shared.spec.data import DataSpec
from poc.shared.spec.views import TrainView

PLAIN = DataSpec(image_size=(6, 5), interpolation="plain_bilinear")


def draw_image(height, width, channels=3):
    generator = np.random.default_rng(height + width)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def row_of(values):
    return np.array(values, dtype=np.uint8).reshape(1, -1, 1)


def test_pixels_around_a_position():
    low, high, share = nearest_pixels(np.array([-0.25, 0.25, 1.0, 2.5]), 3)
    assert low.tolist() == [0, 0, 1, 2]
    assert high.tolist() == [1, 1, 2, 2]
    assert share.tolist() == [0, 0.25, 0, 0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Half: the mean of two. A third: the middle one. A quarter: the middle two of four.
        ([0, 10, 20, 30], [5, 25]),
        ([0, 50, 255, 7, 100, 9], [50, 100]),
        ([255, 10, 20, 255, 255, 30, 40, 255], [15, 35]),
        # Twice: three quarters of the nearest pixel, and the edge alone.
        ([0, 100], [0, 25, 75, 100]),
        # Halves go to the even level.
        ([0, 1, 2, 3], [0, 2]),
    ],
)
def test_rows_by_hand(given, expected):
    assert resize_plainly(row_of(given), (1, len(expected))).ravel().tolist() == expected
    column = resize_plainly(row_of(given).swapaxes(0, 1), (len(expected), 1))
    assert column.ravel().tolist() == expected


@pytest.mark.parametrize("size", [(4, 9), (40, 31), (17, 23), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_resize_of_maps_after_rounding(size, channels):
    """The same rule as two matrices in float64."""
    image = draw_image(17, 23, channels)
    rows, columns = resize_matrix(17, size[0]), resize_matrix(23, size[1])
    expected = np.einsum("yh,hwc,xw->yxc", rows, image, columns)
    found = resize_plainly(image, size)
    assert found.dtype == np.uint8
    # Half a level by rounding, and float32's own error.
    assert np.abs(found - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("is_training", [True, False])
def test_a_view_differs_only_where_it_resizes(is_training):
    common = PLAIN.model_copy(update={"interpolation": "bilinear"})
    for size, is_equal in (((6, 5), True), ((13, 17), False)):
        picture = draw_image(*size)
        kept = []
        for spec in (PLAIN, common):
            resize, _ = plan_view(spec, (6, 5, 3), 3, is_training=is_training)
            kept.append(resize(to_picture(picture)))
        assert np.array_equal(*kept) == is_equal
        assert is_equal or np.array_equal(kept[0], resize_plainly(picture, (6, 5)))


def test_a_drawn_crop_is_resized_by_it_too():
    view = TrainView(crop="random_resized")
    image, made = draw_image(30, 30), []
    for name in ("plain_bilinear", "bilinear"):
        spec = DataSpec(image_size=(6, 5), interpolation=name, train_view=view)
        _, augment = plan_view(spec, (6, 5, 3), 3, is_training=True)
        made.append(augment_images([image], augment, [example_generator(0, 1, "a")]))
    assert not np.array_equal(*made)
