"""Sizes of FixRes: where an architecture allows others than its own."""

import json
import math

import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.searching.resolutions import (
    find_side,
    is_of_any_size,
    settle_sizes,
)
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks


def write_weights(folder, name, shape, **options):
    network = ModelSpec(name=name, options=options).declare(shape, 5)
    path = folder / f"{name}.safetensors"
    write_arrays(path, draw_weights(network.parameters, 0), model=name)
    return str(path)


def write_header(folder, name, shape):
    """A weight file whose values are a hole of zeros."""
    header, end = {"__metadata__": {"model": name}}, 0
    for parameter in ModelSpec(name=name).declare(shape, 5).parameters:
        start, end = end, end + 4 * math.prod(parameter.shape)
        shown = {"dtype": "F32", "shape": parameter.shape, "data_offsets": (start, end)}
        header[parameter.name] = shown
    text = json.dumps(header).encode()
    with (folder / f"{name}.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return file.name


def test_fixres_trains_at_the_size_at_which_its_crops_look_like_the_test(tmp_path):
    """32 pixels of the publication, without a crop: 24, the multiple of eight next to 22.7."""
    path = write_weights(tmp_path, "resnet32_cifar", (32, 32, 3))
    left_out = {}
    given = list_candidates([path], ["transfer", "fixres"])
    tuned, fixres = settle_sizes(given, left_out)
    assert tuned == given[0]
    run = load_run(None, fixres.settings)
    assert (run.method_settings.train_size, run.method_settings.test_size) == (24, 32)
    assert left_out == {}


def test_fixres_without_a_batch_norm_adapts_none(tmp_path):
    """Its second phase would be refused for lack of a norm."""
    path = write_header(tmp_path, "convnext_tiny", (224, 224, 3))
    (fixres,) = settle_sizes(list_candidates([path], ["fixres"]), {})
    run = load_run(None, (*fixres.settings, "model.name=convnext_tiny"))
    run = run.replace(input_shape=(224, 224, 3), num_classes=5)
    for stage in run.stages:
        resolve_networks(run.at_stage(stage.name))
    assert run.method_settings.finetune_bn_mode == "frozen"


def test_weights_of_one_size_have_no_fixres(tmp_path, monkeypatch):
    path = write_weights(tmp_path, "resnet32_cifar", (32, 32, 3))
    monkeypatch.setattr(
        "poc.shared.actions.study.searching.resolutions.is_of_any_size", lambda *given: False
    )
    left_out = {}
    assert list(settle_sizes(list_candidates([path], ["fixres"]), left_out)) == []
    assert left_out == {
        "FixRes resnet32_cifar": "the weights of resnet32_cifar fit images of 32x32 pixels alone"
    }


@pytest.mark.parametrize(
    ("name", "shape", "side", "expected"),
    [
        ("resnet18", (224, 224, 3), 176, True),
        # The values of its positions, and its dense layers, belong to one size.
        ("vit_b_16", (224, 224, 3), 176, False),
        ("vgg16", (224, 224, 3), 176, False),
        # Too small for its poolings.
        ("conv2d_chain", (64, 64, 3), 8, False),
    ],
)
def test_a_model_of_any_size_has_the_same_parameters(name, shape, side, expected):
    assert is_of_any_size(ModelSpec(name=name), shape, side) == expected


@pytest.mark.parametrize(
    ("test_side", "crop_share", "side"),
    # E[s] is .7082, and the test resizes 224 to 256, 288 to 329.
    [(224, 0.875, 184), (224, 1.0, 160), (288, 0.875, 232), (4, 1.0, 8)],
)
def test_the_side_is_that_of_the_law(test_side, crop_share, side):
    assert find_side(test_side, crop_share) == side
