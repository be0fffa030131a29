"""A file's model told by its tensors, and which cells of a sweep start from the sweep's weights."""

import json

import numpy as np
import pytest

from poc.shared.actions.weights.foreign import locate_canonical
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.weights.conversion import choose
from poc.shared.weights.header import describe_weights, read_outlines
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.recognition import published_shapes, recognise_model

VIEW = {"image_size": [64, 64], "interpolation": "bicubic", "normalization": "tf"}
FILE = "w.safetensors"


def declare(model, num_classes=7):
    return ModelSpec(name=model).declare(find_model(model).example_input, num_classes)


def outlines(network, scheme, prefix=""):
    return {
        f"{prefix}{name}": np.broadcast_to(np.float32(0), shape)
        for name, shape in published_shapes(network, scheme).items()
    }


# One of each table of names.
NAMED = ["resnet32_cifar", "vgg16", "vgg16_bn", "mobilenet_v2", "efficientnet_lite0"]
NAMED += ["resnet50", "resnet50v2", "inception_v3", "efficientnet_b0", "efficientnet_b1"]


@pytest.mark.parametrize("model", NAMED)
def test_each_published_naming_is_recognised(model):
    for scheme in (None, *find_schemes(model)):
        found = recognise_model(outlines(declare(model), scheme))
        assert found is not None
        assert found.model == model
        assert found.lineage == (scheme.lineage if scheme else None)


def test_what_is_not_whole_or_has_more_is_no_models():
    network, scheme = declare("resnet32_cifar"), find_schemes("resnet32_cifar")[0]
    whole = outlines(network, scheme)
    assert recognise_model(outlines(network, scheme, "module.")).model == "resnet32_cifar"
    assert recognise_model({**whole, "extra": np.zeros(1)}) is None
    assert recognise_model(dict(list(whole.items())[1:])) is None
    first = next(iter(whole))
    assert recognise_model({**whole, first: whole[first][..., :1]}) is None
    assert recognise_model({}) is None


def published_file(folder, model="resnet32_cifar", **texts):
    arrays = outlines(declare(model), find_schemes(model)[0])
    write_arrays(folder / FILE, arrays, **texts)
    return folder / FILE


def test_a_file_without_a_name_says_its_model(tmp_path):
    file = published_file(tmp_path)
    found = describe_weights(str(file), {})
    assert (found.model, found.is_guessed, found.remarks) == ("resnet32_cifar", True, ())
    assert {name: value.shape for name, value in read_outlines(file).items()} == {
        name: tuple(shape)
        for name, shape in published_shapes(
            declare("resnet32_cifar"), find_schemes("resnet32_cifar")[0]
        ).items()
    }


def test_a_header_that_means_nothing_is_told(tmp_path):
    file = published_file(tmp_path, model="resnet32_cifar")
    arrays = dict(read_outlines(file))
    write_arrays(file, arrays, **{"model": "nonsense", "view": "{half"})
    remarks = describe_weights(str(file), {}).remarks
    assert len(remarks) == 2
    assert "'nonsense'" in remarks[0]
    assert "cannot be read" in remarks[1]
    write_arrays(file, arrays, model="resnet32_cifar", view="[1]")
    assert "cannot be read" in describe_weights(str(file), {}).remarks[0]
    write_arrays(file, arrays, model="resnet32_cifar", view=json.dumps(VIEW))
    assert describe_weights(str(file), {}).remarks == ()


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({}, "but the file fits resnet32_cifar. "
         "Try --method transfer --model resnet32_cifar for a new head"),
        ({"method": "transfer"}, "for efficientnet_lite0, the default model of transfer. "
         "Expected weights of efficientnet_lite0, but the file fits "
         "resnet32_cifar. Try --model resnet32_cifar"),
        ({"method": "fixres", "model": {"name": "efficientnet_lite0"}},
         "for efficientnet_lite0. Expected weights of efficientnet_lite0, but the file fits "
         "resnet32_cifar. Try --model resnet32_cifar"),
    ],
)  # fmt: skip
def test_a_file_of_another_model_is_named(values, answer, tmp_path):
    with pytest.raises(UsageError) as caught:
        locate_canonical(str(published_file(tmp_path)), values, print)
    assert str(caught.value).endswith(answer) or answer in str(caught.value)


def test_names_of_a_publisher_are_none_for_the_light_layers():
    """Their factors have no names in a file of PyTorch or Keras."""
    assert choose(find_schemes("lightnet_plain"), None, declare("lightnet_plain")) == []
    with pytest.raises(UsageError, match="Expected one of canonical"):
        choose(find_schemes("lightnet_plain"), "torch", declare("lightnet_plain"))


def defaults(told, **found):
    described = Described(**{"model": "resnet32_cifar", "view": VIEW, **found})
    return WeightDefaults(
        describe=lambda path, values: described if path == FILE else Described(),
        locate=lambda path, values: path,
        note=told.append,
    )


def load(settings, axes, **found):
    told = []
    cells = load_sweep(None, settings, axes, defaults=defaults(told, **found))
    return {cell.name: cell.run for cell in cells}, told


def test_weights_go_to_the_methods_that_start_from_them():
    runs, told = load([f"initial_weights={FILE}"], ["method=lightlayers,transfer"])
    light, transfer = runs["method=lightlayers"], runs["method=transfer"]
    assert (light.initial_weights, light.model_spec.name) == (None, "lightnet_plain")
    assert (transfer.initial_weights, transfer.model_spec.name) == (FILE, "resnet32_cifar")
    # Both see the same images.
    assert light.data == transfer.data
    assert light.data.image_size == (64, 64)
    assert told[0] == (
        f"The cells of transfer start from {FILE!r}; those of lightlayers draw theirs and see the "
        "same view."
    )


def test_a_model_that_is_named_for_the_weights_goes_with_them():
    settings = [f"initial_weights={FILE}", "model.name=resnet32_cifar"]
    runs, told = load(settings, ["method=lightlayers,transfer"])
    assert runs["method=lightlayers"].model_spec.name == "lightnet_plain"
    assert runs["method=transfer"].model_spec.name == "resnet32_cifar"
    assert "draw theirs, for its default model, and see" in told[0]


def test_methods_that_can_take_the_weights_keep_them():
    runs, _ = load([f"initial_weights={FILE}"], ["method=scratch,transfer"])
    assert {run.initial_weights for run in runs.values()} == {FILE}
    light = {"model": "lightnet_plain", "view": {}}
    runs, _ = load([f"initial_weights={FILE}"], ["method=lightlayers,transfer"], **light)
    assert {run.initial_weights for run in runs.values()} == {FILE}
    # Without a method that starts from weights they are refused, and not left out.
    with pytest.raises(UsageError, match=r"for the method 'lightlayers'\. Expected one of"):
        load([f"initial_weights={FILE}"], ["method=lightlayers,scratch"])


def test_none_is_the_same_body_drawn():
    runs, _ = load(["method=transfer"], [f"initial_weights={FILE},none"])
    trained, drawn = runs.values()
    assert (trained.initial_weights, drawn.initial_weights) == (FILE, None)
    assert trained.model_spec == drawn.model_spec
    assert trained.model_spec.name == "resnet32_cifar"
    assert trained.data == drawn.data
    assert drawn.data.interpolation == "bicubic"


def test_the_option_is_no_key():
    with pytest.raises(UsageError, match="Try initial_weights"):
        load(["method=transfer"], [f"weights={FILE},none"])
