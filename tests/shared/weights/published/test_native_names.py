"""Layers of a native model have torchvision's names where it has the network."""

import pytest

from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.published.native_names import name_native_layers


def names_of(model, backend="torch", **options):
    spec = ModelSpec(name=model, options=options)
    network = standalone(spec.declare(MODELS[model].example_input, 10))
    return network, name_native_layers(network, spec, backend)


@pytest.mark.parametrize("backend", ["tf", "torch"])
@pytest.mark.parametrize("model", MODELS)
def test_every_layer_has_a_name_and_none_lies_inside_another(model, backend):
    network, names = names_of(model, backend)
    assert list(names) == [node.name for node in network.nodes]
    assert len(set(names.values())) == len(names)
    assert not any("/" in name for name in names.values())
    for name in names.values():
        levels = name.split(".")
        above = {".".join(levels[:depth]) for depth in range(1, len(levels))}
        assert above.isdisjoint(names.values())


@pytest.mark.parametrize(
    ("model", "options", "backend", "node", "name"),
    [
        ("mobilenet_v2", {"lineage": "torchvision"}, "torch", "stem/conv", "features.0.0"),
        ("mobilenet_v2", {"lineage": "keras"}, "torch", "stem/conv", "stem.conv"),
        ("mobilenet_v2", {"lineage": "torchvision"}, "tf", "stem/conv", "stem.conv"),
        ("vgg16_bn", {}, "torch", "dense1", "classifier.0"),
        ("resnet18", {}, "torch", "layer1/0/conv1", "layer1.0.conv1"),
        ("efficientnet_lite0", {}, "torch", "stem/conv", "stem.conv"),
    ],
)
def test_names_follow_torchvision_only_where_it_computes_the_same(
    model, options, backend, node, name
):
    assert names_of(model, backend, **options)[1][node] == name
