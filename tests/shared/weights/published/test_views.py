"""A published view belongs to one publisher: names of another one do not get it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from poc.shared.actions.weights.convert import convert_for
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.conversion import from_canonical
from poc.shared.weights.published.table import SCHEMES, find_schemes
from poc.shared.weights.published.views import PLAIN, UNNAMED, VIEWS, find_view

SIZES = {"depths": [1, 1, 1, 1], "widths": [4, 4, 4, 4]}


@pytest.mark.parametrize("model", ["vit_ti16", "vit_s16", "vit_b16"])
def test_vits_of_timm_have_no_view(model):
    """DeiT's and the others normalise in different ways."""
    assert find_view(model, "timm") is None


def test_small_vits_have_no_view_under_any_name():
    """DeiT's and others have those of transformers too, and torchvision has none."""
    for model in ("vit_ti16", "vit_s16"):
        for publisher in (*UNNAMED, "torchvision", "transformers", "transformers_module"):
            assert find_view(model, publisher) is None
    for publisher in ("transformers", "transformers_module"):
        assert find_view("vit_b16", publisher).normalization == "tf"
    assert find_view("vit_b16", "torchvision") == PLAIN


def test_names_of_nobody_get_the_only_published_form():
    assert find_view("inception_v3", "dotted") == VIEWS["inception_v3", "keras"]
    assert find_view("resnet18", "") == PLAIN
    # There are two, and nothing tells which one it is.
    assert find_view("vgg16", "") is None
    # Nobody has published weights of that lineage.
    assert find_view("resnet18", "keras") is None


def test_every_view_is_one_of_a_scheme_or_a_lineage():
    known = {scheme.name for schemes in SCHEMES.values() for scheme in schemes}
    assert {publisher for _, publisher in VIEWS} <= known


def converted(folder, model, naming, **options):
    """The view that a file of drawn weights under these names gets."""
    network = ModelSpec(name=model, options=options).declare((224, 224, 3), 1000)
    scheme = next(scheme for scheme in find_schemes(model) if scheme.name == naming)
    weights = draw_weights(network.parameters, 0)
    write_arrays(folder / "in.safetensors", from_canonical(network, scheme, weights))
    report = convert_for(
        folder / "in.safetensors",
        folder / "out.safetensors",
        model=model,
        classes="1000",
        assignments=[f"{key}={json.dumps(value)}" for key, value in options.items()],
        shape="224x224x3",
    )
    assert report["from"] == naming
    return report["view"]


@pytest.mark.parametrize("naming", ["timm", "convnext", "transformers"])
def test_convnexts_of_the_publication_have_its_view(naming, tmp_path):
    """torchvision has trained its own, which it tests on 224 of 236 pixels."""
    view = converted(tmp_path, "convnext_tiny", naming, **SIZES)
    assert (view["interpolation"], view["normalization"]) == ("bicubic", "torch")
    assert view["eval_view"] == {"resize": "shorter_side", "crop": "centre", "crop_share": 0.875}
    own = converted(tmp_path, "convnext_tiny", "torchvision", **SIZES)
    assert own["interpolation"] == "bilinear"
    assert own["eval_view"]["crop_share"] == pytest.approx(224 / 236)


def test_vits_of_timm_are_written_without_a_view(tmp_path):
    sizes = {"depth": 1, "width": 8, "heads": 2}
    assert converted(tmp_path, "vit_s16", "timm", **sizes) == {}


LIBRARIES = """
import json
from timm.models.convnext import default_cfgs
from transformers import ConvNextImageProcessor
found = {}
for size in ("tiny", "small", "base"):
    cfg = default_cfgs[f"convnext_{size}"].cfgs["fb_in1k"]
    found[size] = [cfg.input_size[1], cfg.crop_pct, cfg.interpolation, *cfg.mean, *cfg.std]
found["transformers"] = [ConvNextImageProcessor.crop_pct, ConvNextImageProcessor.resample.name]
print(json.dumps(found))
"""


@pytest.mark.torch
def test_these_are_the_numbers_of_the_libraries():
    command = [sys.executable, "-W", "ignore", "-c", LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.pop("transformers") == [0.875, "BICUBIC"]
    for size, (side, share, interpolation, *numbers) in found.items():
        view = VIEWS[f"convnext_{size}", "timm"]
        assert (view.size, view.interpolation) == (side, interpolation)
        assert view.size / view.resized == share
        np.testing.assert_allclose(numbers, [0.485, 0.456, 0.406, 0.229, 0.224, 0.225])
