"""The plain bilinear filter against `tf.image.resize`, and against Keras' images of a directory."""

import itertools

import numpy as np
import pytest

from poc.shared.data.views.bilinear import resize_plainly
from poc.tests.helpers.measured.separate_process import measured

# (height, width) of an image, and those that are asked for: smaller, larger, both, odd factors.
SIZES = (
    ((9, 13), (4, 5)),
    ((28, 28), (32, 32)),
    ((32, 48), (16, 24)),
    ((61, 7), (20, 30)),
    ((180, 121), (64, 64)),
    ((1, 5), (3, 2)),
    ((333, 1001), (31, 29)),
)


def draw_image(height, width, channels):
    generator = np.random.default_rng(height * width + channels)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.tf
def test_the_plain_filter_is_tensorflows_after_rounding() -> None:
    found = measured("../habits/resize_tf.py")
    cases = list(itertools.product(SIZES, (1, 3)))
    for ((given, wanted), channels), ways in zip(cases, found, strict=True):
        own = resize_plainly(draw_image(*given, channels), wanted)
        for way, values in ways.items():
            theirs = np.array(values, dtype=np.float64).reshape(*wanted, channels)
            # Half a grey level is the rounding; 1e-3 is float32's, in another order of additions.
            assert np.abs(own - theirs).max() <= 0.5 + 1e-3, (way, given, wanted)
            is_clear = np.abs(theirs % 1 - 0.5) > 1e-3
            assert np.array_equal(own[is_clear], np.rint(theirs)[is_clear]), (way, given, wanted)
