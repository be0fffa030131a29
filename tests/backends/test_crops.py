"""Ten crops against torchvision's own, at even and odd margins."""

import numpy as np
import pytest

from poc.shared.data.views.view import augment_images, plan_view
from poc.shared.spec.data import DataSpec
from poc.shared.spec.views import EvalView
from poc.tests.helpers.measured.separate_process import measured

HEIGHT, CROP = 10, (7, 7)
# Margins 6, 5, 3 and 7.
WIDTHS = (13, 12, 10, 14)


def draw_image(width):
    generator = np.random.default_rng(width)
    return generator.integers(0, 256, (HEIGHT, width, 3), dtype=np.uint8)


@pytest.mark.torch
def test_ten_crops_are_torchvisions() -> None:
    view = EvalView(resize="height", crop="ten", crop_share=0.7)
    spec = DataSpec(image_size=CROP, eval_view=view)
    _, crops = plan_view(spec, (*CROP, 3), 3, is_training=False)
    found = measured("crops_torch.py")
    for width in WIDTHS:
        own = augment_images([draw_image(width)], crops, [np.random.default_rng(0)])
        theirs = np.array(found[str(width)], dtype=np.uint8).reshape(10, *CROP, 3)
        assert np.array_equal(own, theirs), width
