"""The evaluation view of one picture: a pipeline's, to the bit, and no gigantic ones."""

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec

VIEWS = {
    "squash": {"image_size": [12, 20]},
    "fit": {"image_size": [16, 16], "eval_view": {"resize": "fit"}, "fill": 200},
    "centre": {"image_size": [12, 12], "eval_view": {"resize": "shorter_side", "crop": "centre"}},
    "height": {"image_size": [12, 12], "eval_view": {"resize": "height", "crop": "centre"}},
    "five": {"image_size": [12, 12], "eval_view": {"resize": "shorter_side", "crop": "five"}},
    "ten": {"image_size": [12, 12], "eval_view": {"resize": "shorter_side", "crop": "ten"}},
    "bicubic": {"image_size": [12, 12], "interpolation": "bicubic", "normalization": "torch"},
    "caffe": {"image_size": [12, 12], "normalization": "caffe"},
    "grey": {"image_size": [12, 12], "channels": 1},
    "as it is": {"normalization": "tf"},
}


@pytest.mark.parametrize("name", VIEWS)
def test_it_is_that_of_a_pipeline(name):
    images = np.random.default_rng(0).integers(0, 256, (5, 21, 33, 3), dtype=np.uint8)
    spec = DataSpec(**VIEWS[name])
    source = ArraySource("made", {"all": (images, np.arange(5) % 2)}, is_partitioned=False)
    pipeline = Pipeline(source, np.arange(5), spec)
    expected = np.concatenate([batch.images for batch in pipeline.epoch(0)])
    view = EvaluationView(spec, pipeline.image_shape)
    pixels = np.concatenate([view.pixels(Image.fromarray(image)) for image in images])
    assert pixels.dtype == np.uint8
    assert view.num_views == pipeline.num_views
    assert np.array_equal(view.normalize(pixels), expected)


def test_a_narrow_picture_is_refused_before_it_becomes_gigantic():
    """From 1 x 100,000 pixels, the rule would make 224 x 22,400,000."""
    spec = DataSpec(image_size=(224, 224), eval_view={"resize": "shorter_side", "crop": "centre"})
    view = EvaluationView(spec, (224, 224, 3))
    with pytest.raises(UsageError, match=r"^Got an image of 100000 x 1 pixels, of which resize="):
        view.pixels(Image.new("RGB", (100_000, 1)))
    fit = EvaluationView(DataSpec(image_size=(8, 8)), (8, 8, 3))
    assert fit.pixels(Image.new("RGB", (100_000, 1))).shape == (1, 8, 8, 3)
