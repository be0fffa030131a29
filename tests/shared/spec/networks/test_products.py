"""Pairs of kernels that act as one: declared factors, and the light dense layer with its scale."""

import pytest

from poc.shared.spec.networks.products import Product, find_products
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec


def find(model, **fields):
    run = RunSpec.parse(
        {
            "method": "scratch",
            "model": model,
            "input_shape": [16, 16, 3],
            "num_classes": 8,
            **fields,
        },
        "",
    )
    return find_products(declare_network(run), run.model_spec.factors)


def test_factors_and_no_other_convolutions():
    model = {
        "name": "lightnet_residual",
        "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6]},
        "factors": {"block2/conv1": {"variant": "basis", "rank": 3}},
    }
    first, second = "block2/conv1/reduce/kernel", "block2/conv1/expand/kernel"
    assert find(model) == (Product(first=first, second=second),)


def test_a_light_convolution_is_no_product():
    """A ReLU lies between its kernels; only the head is linear."""
    found = find({"name": "lightnet_plain", "options": {"k": 2, "widths": [4]}})
    assert [(p.first, p.second) for p in found] == [("head/reduce/kernel", "head/expand/kernel")]


@pytest.mark.parametrize(("scale", "factor"), [("none", 1.0), ("reference", 2 / 8)])
def test_the_scale_of_a_light_head(scale, factor):
    """Each kernel is multiplied by sqrt(2 / units)."""
    options = {"k": 2, "widths": [4], "scale": scale}
    (found,) = find({"name": "lightnet_plain", "options": options})
    assert found.scale == pytest.approx(factor, rel=1e-15)


def test_a_network_without_any():
    assert find({"name": "vgg9_bn"}, input_shape=[32, 32, 3]) == ()
