"""The picture of an explanation: its colours by hand, one scale for both frameworks."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.explanations.explain import Answer, Explanation
from poc.shared.actions.explanations.methods import GradCam, Occlusion
from poc.shared.actions.explanations.occlusion import plan_patches
from poc.shared.actions.explanations.overlays import (
    blend,
    draw_overlay,
    scale_of,
    shorten_path,
)

CAM = GradCam(tap="last", tap_shape=(2, 2, 3), image_shape=(4, 4, 3))
PATCHES = Occlusion(patches=plan_patches(4, 4, 2, 2))


def explanation(channels=3, **changes):
    values = {
        "name": "a.png",
        "image": np.full((4, 4, channels), 255, np.uint8),
        "class_name": "cat",
        "answers": {"tf": Answer("cat", 0.75), "torch": Answer("cat", 0.75)},
        "maps": {name: np.array([[0.0, 1.0], [0.5, 0.0]]) for name in ("tf", "torch")},
        "shares": {name: np.array([0.75, 0.25]) for name in ("tf", "torch")},
    }
    return Explanation(**{**values, **changes})


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_is_the_maps_colour_over_grey(channels):
    """White is a grey of 0.75, black of 0.2; six tenths are the map's."""
    image = np.zeros((1, 2, channels), np.uint8)
    image[0, 0] = 255
    mixed = blend(image, np.array([[0.0, 1.0]]), scale_of({}, CAM))
    low, high = (np.array(mpl.colormaps["cividis"](value)[:3]) for value in (0.0, 1.0))
    np.testing.assert_allclose(mixed[0, 0], 0.6 * low + 0.4 * 0.75, atol=1e-12)
    np.testing.assert_allclose(mixed[0, 1], 0.6 * high + 0.4 * 0.2, atol=1e-12)


def test_the_colours_rise_in_brightness_for_every_eye():
    """What is left for a reader without colours is in order."""
    colours = mpl.colormaps["cividis"](np.linspace(0, 1, 64))[:, :3]
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_the_scale_of_occlusion_cuts_nothing_off():
    scale = scale_of({"tf": np.array([[-0.2, 0.1]]), "torch": np.array([[0.3, 0.0]])}, PATCHES)
    assert (scale.vmin, scale.vmax) == (-0.2, 0.3)
    scale = scale_of({"tf": np.array([[0.1, 0.2]])}, PATCHES)
    assert (scale.vmin, scale.vmax) == (0.0, 0.2)
    zero = scale_of({"tf": np.zeros((1, 2))}, PATCHES)
    assert (zero.vmin, zero.vmax) == (0.0, 1.0)


def read(content):
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("method", [CAM, PATCHES], ids=["gradcam", "occlusion"])
def test_both_frameworks_are_drawn_side_by_side(method):
    both = draw_overlay(explanation(), method)
    assert both == draw_overlay(explanation(), method)
    alone = explanation(answers={"tf": Answer(None, 0.2)}, maps={"tf": explanation().maps["tf"]})
    assert read(draw_overlay(alone, method)).shape[1] < read(both).shape[1]
    # Another map in one framework changes its panel alone.
    changed = explanation(maps={**explanation().maps, "torch": np.array([[1.0, 0.0], [0.0, 0.5]])})
    columns = np.flatnonzero((read(both) != read(draw_overlay(changed, method))).any(axis=(0, 2)))
    assert columns.min() > read(both).shape[1] / 2


@pytest.mark.parametrize("shape", [(4, 40), (40, 4), (1, 1)])
@pytest.mark.parametrize("name", ["a" * 300 + "end.png", "$x^{$ \n\x00.png", "猫.png", 3])
def test_any_shape_and_name_is_drawn(shape, name):
    method = GradCam(tap="last", tap_shape=(2, 2, 3), image_shape=(*shape, 1))
    found = explanation(name=name, image=np.zeros((*shape, 1), np.uint8), class_name="$\\bad{$")
    assert read(draw_overlay(found, method)).ndim == 3


def test_of_a_long_path_the_end_is_left():
    assert shorten_path("/a" * 200 + "/cat.jpg").endswith("/a/cat.jpg")
    assert len(shorten_path("/a" * 200 + "/cat.jpg")) == 66
