"""Taps that are matched where a run names none: those before each reduction of the map, or all."""

import pytest

from poc.shared.spec.methods.distilling import default_taps, find_pairs
from poc.shared.spec.networks.models import ModelSpec, find_model


def declare(name):
    return ModelSpec(name=name).declare(find_model(name).example_input, 10)


@pytest.mark.parametrize("name", ["mobilenet_v2", "vgg9_bn"])
def test_taps_before_reductions_are_numbered(name):
    assert default_taps(declare(name)) == tuple(f"reduction{number}" for number in range(1, 6))


@pytest.mark.parametrize(
    ("name", "last"),
    [("inception_resnet_v1", "c5"), ("resnet18", "layer4"), ("inception_v3", "mixed10")],
)
def test_without_numbered_ones_all_taps_are_matched(name, last):
    """Modules called reduction_a and reduction_b leave the last stage out."""
    network = declare(name)
    taps = default_taps(network)
    assert taps == tuple(network.taps)
    assert taps[-1] == last


def test_the_last_stages_are_a_pair():
    student, teacher = declare("mobilenet_v2"), declare("inception_resnet_v1")
    pairs = find_pairs((), student, teacher, default="one_to_one")
    assert len(pairs) == 5
    assert pairs[-1].source_shape == teacher.shape_of(teacher.taps["c5"])
