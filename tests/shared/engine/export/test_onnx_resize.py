"""Pillow's resize in an ONNX file, against Pillow, to the bit."""

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.export.onnx_resize import FILTERS, RULES, add_resize, refusal_of
from poc.shared.spec.data import DataSpec

# Much taller, much wider, larger, smaller, a single row, the size itself, and one whose weights
# fall between two steps.
SIZES = [(90, 31), (31, 90), (7, 5), (200, 210), (1, 40), (40, 1), (24, 20), (75, 64)]


def make_file(path, spec, shape):
    """An ONNX file that gives its input back."""
    import onnx

    height, width, channels = shape
    form = f"uint8[batch, {height}, {width}, {channels}]"
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 18]> g ({form} images) => ({form} shown) '
        "{ shown = Identity (images) }"
    )
    onnx.save(model, path)
    add_resize(path, (height, width), spec)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_file_resizes_as_pillow_does(interpolation, rule, channels, tmp_path):
    import onnxruntime

    shape = (24, 20, channels)
    spec = DataSpec(
        image_size=shape[:2], interpolation=interpolation, fill=77, eval_view={"resize": rule}
    )
    make_file(tmp_path / "file.onnx", spec, shape)
    session = onnxruntime.InferenceSession(str(tmp_path / "file.onnx"))
    view, draw = EvaluationView(spec, shape), np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        pixels = draw.integers(0, 256, (*size, channels), dtype=np.uint8)
        if number % 2:
            # Full contrast, where sums lie outside of 0 to 255.
            pixels = (pixels > 127).astype(np.uint8) * 255
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        expected = view.pixels(picture)
        found = session.run(None, {"images": pixels[np.newaxis]})[0]
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected), size


def test_several_pictures_of_one_size_pass_at_once(tmp_path):
    import onnxruntime

    spec = DataSpec(image_size=(8, 8))
    make_file(tmp_path / "file.onnx", spec, (8, 8, 3))
    session = onnxruntime.InferenceSession(str(tmp_path / "file.onnx"))
    images = np.random.default_rng(0).integers(0, 256, (3, 30, 20, 3), dtype=np.uint8)
    together = session.run(None, {"images": images})[0]
    alone = [session.run(None, {"images": image[np.newaxis]})[0][0] for image in images]
    assert np.array_equal(together, alone)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ""),
        ({"eval_view": {"resize": "fit"}, "interpolation": "lanczos"}, ""),
        ({"eval_view": {"crop": "centre"}}, "has crops"),
        ({"interpolation": "nearest"}, "resized by nearest"),
        ({"interpolation": "plain_bilinear"}, "resized by plain_bilinear"),
    ],
)
def test_what_no_file_can_do_is_said(settings, words):
    reason = refusal_of(DataSpec(image_size=(8, 8), **settings))
    assert (words in reason) if words else reason == ""
