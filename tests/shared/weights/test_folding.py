"""Folding against the plain NumPy network: the same logits, no batch norm left where none need be.

Expected counts are those of the facts: 672 batch-norm numbers go from the study's net, whatever k.
"""

import numpy as np
import pytest

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm, Dropout
from poc.shared.spec.networks.layers.light import LightConv2D, LightDense
from poc.shared.spec.networks.layers.merging import Add
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.folding import fold
from poc.tests.reference.layers import apply_network

# Folded weights are rounded to float32, the reference computes in float64.
TOLERANCE = 2e-6
HALVING = Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid")


def chain(*layers, shape=(9, 8, 3)):
    """A network of these layers, one after the other."""
    net = NetworkBuilder("chain", shape)
    for index, layer in enumerate(layers):
        net.add(f"layer{index}", layer)
    return net.build()


def forked(window, shortcut_shape=(1, 1), strides=(1, 1), padding="same"):
    """conv, norm beside conv 1x1, norm of the same images; then their sum."""
    net = NetworkBuilder("forked", (7, 6, 3))
    first = Conv2D(filters=4, kernel_size=window, strides=strides, padding=padding, use_bias=False)
    net.add("main", first, "images")
    main = net.add("main_norm", BatchNorm())
    net.add("short", Conv2D(filters=4, kernel_size=shortcut_shape, strides=strides), "images")
    short = net.add("short_norm", BatchNorm())
    net.add("add", Add(), main, short)
    net.add("relu", Activate(activation="relu"))
    net.add("pool", GlobalPool())
    net.add("head", LightDense(units=3, rank=2, scale="reference"))
    return net.build()


def declared(name, shape=(32, 32, 3), **options):
    return ModelSpec(name=name, options=options).declare(shape, 4)


def draw(network, *, is_positive=True):
    """Weights as after training: no statistic at its initial value; perhaps negative gammas."""
    generator = np.random.default_rng(5)
    weights = draw_weights(network.parameters, 0)
    for name, value in weights.items():
        if name.endswith(("gamma", "moving_variance")):
            weights[name] = generator.uniform(0.3, 2, value.shape)
            if name.endswith("gamma") and not is_positive:
                weights[name][0] *= -1
        elif not name.endswith("kernel"):
            weights[name] = generator.uniform(-1, 1, value.shape)
    return weights


def logits_of(network, weights):
    images = np.random.default_rng(1).normal(size=(2, *network.input_shape))
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    return apply_network(network, wide, images, {}, False)[0]


def norms_of(network):
    return sum(isinstance(node.layer, BatchNorm) for node in network.nodes)


# network -> batch norms that stay
CASES = {
    "conv": (chain(Conv2D(filters=4, kernel_size=(3, 2), use_bias=False), BatchNorm()), 0),
    "conv groups": (chain(Conv2D(filters=6, kernel_size=(3, 3), groups=3), BatchNorm()), 0),
    "depthwise": (chain(DepthwiseConv2D(kernel_size=(3, 3)), BatchNorm(scale=False)), 0),
    "separable": (
        chain(SeparableConv2D(filters=4, kernel_size=(3, 3)), BatchNorm(center=False)),
        0,
    ),
    "light": (chain(LightConv2D(filters=4, kernel_size=(3, 3), rank=2), BatchNorm()), 0),
    "dense": (chain(GlobalPool(), Dense(units=4), BatchNorm(epsilon=1e-5)), 0),
    "activation between": (
        chain(Conv2D(filters=4, kernel_size=(3, 3), activation="relu"), BatchNorm()),
        1,
    ),
    "into the next": (
        chain(BatchNorm(), Conv2D(filters=4, kernel_size=(3, 3), padding="valid", use_bias=False)),
        0,
    ),
    "into a padded one": (chain(BatchNorm(), Conv2D(filters=4, kernel_size=(3, 3))), 1),
    "into a depthwise one": (
        chain(BatchNorm(), DepthwiseConv2D(kernel_size=(2, 3), padding="valid")),
        0,
    ),
    "into a light one": (
        chain(BatchNorm(), LightConv2D(filters=4, kernel_size=(3, 3), rank=2, padding="valid")),
        0,
    ),
    "through pools": (
        chain(BatchNorm(), HALVING, Dropout(rate=0.5), GlobalPool(), LightDense(units=3, rank=2)),
        0,
    ),
    "into a relu": (chain(BatchNorm(), Activate(activation="relu")), 1),
}
NETS = {
    "plain light": ("lightnet_plain", {"k": 2}, 0),
    "plain separable": ("lightnet_plain", {"layer": "separable"}, 0),
    "residual light": ("lightnet_residual", {"k": 2}, 0),
    "residual conv2d": ("lightnet_residual", {"layer": "conv2d"}, 0),
    "chain": ("conv2d_chain", {"widths": [3, 4]}, 0),
    "chain light": ("conv2d_chain", {"widths": [3], "layer": "light"}, 0),
}


def check(network, expected_norms, weights, **options):
    folded, folded_weights = fold(network, weights, **options)
    assert norms_of(folded) == expected_norms
    assert {p.name: p.shape for p in folded.parameters} == {
        name: value.shape for name, value in folded_weights.items()
    }
    assert all(value.dtype == np.float32 for value in folded_weights.values())
    before, after = logits_of(network, weights), logits_of(folded, folded_weights)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() < TOLERANCE * np.abs(before).max()
    return folded


@pytest.mark.parametrize("case", CASES)
def test_layers_fold_exactly(case):
    network, expected = CASES[case]
    check(network, expected, draw(network))


@pytest.mark.parametrize("merges", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_nets_fold_exactly(name, merges):
    model, options, expected = NETS[name]
    network = declared(model, **options)
    check(network, expected, draw(network), merges_shortcuts=merges)


def test_a_negative_scale_does_not_pass_a_maximum():
    """The chain's two norms before max-pools stay."""
    network = declared("conv2d_chain", widths=[3, 4])
    weights = draw(network, is_positive=False)
    check(network, 2, weights)


@pytest.mark.parametrize("window", [(3, 3), (5, 3)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("padding", ["same", ((1, 1), (1, 1))])
def test_a_merged_shortcut_is_exact(window, strides, padding):
    if padding != "same" and window != (3, 3):
        padding = ((2, 2), (1, 1))
    network = forked(window, strides=strides, padding=padding)
    folded = check(network, 0, draw(network), merges_shortcuts=True)
    kinds = [node.layer.kind for node in folded.nodes]
    assert kinds.count("conv2d") == 1
    assert "add" not in kinds


def test_what_does_not_merge_stays():
    network = forked((3, 3), shortcut_shape=(3, 3))
    network_without_pads = forked((1, 1), padding="valid")
    for net in (network, network_without_pads):
        folded, _ = fold(net, draw(net), merges_shortcuts=True)
        expected = net is network
        assert any(node.layer.kind == "add" for node in folded.nodes) == expected


@pytest.mark.parametrize(
    ("k", "count"), [(1, 2753 - 672), (2, 3928), (3, 5775), (4, 7622), (5, 9469)]
)
def test_the_studys_net_loses_its_672_numbers(k, count):
    network = ModelSpec(name="lightnet_residual", options={"k": k}).declare((299, 299, 3), 2)
    folded, weights = fold(network, draw_weights(network.parameters, 0))
    assert sum(value.size for value in weights.values()) == count
    assert folded.macs == network.macs
