"""Distributions of native initial weights; numbers by hand."""

import math

import numpy as np
import pytest

from poc.shared.spec.habits.networks import with_habits
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.convolution import (
    Conv2D,
    DepthwiseConv2D,
    SeparableConv2D,
)
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.networks.network import IMAGES
from poc.shared.spec.training.habits import HabitsSpec

# Limit of each uniform distribution, by hand from the shapes; 0 means zeros.
LIMITS = {
    "tf": {
        "conv/kernel": math.sqrt(6 / (9 * 8 + 9 * 12)),
        "conv/bias": 0,
        "grouped/kernel": math.sqrt(6 / (9 * 3 + 9 * 8)),
        "grouped/bias": 0,
        "depthwise/kernel": math.sqrt(6 / (25 * 8 + 25)),
        "depthwise/bias": 0,
        "separable/depthwise/kernel": math.sqrt(6 / (9 * 8 + 9)),
        "separable/pointwise/kernel": math.sqrt(6 / (8 + 64)),
        "separable/pointwise/bias": 0,
        "head/kernel": math.sqrt(6 / (64 + 50)),
        "head/bias": 0,
    },
    "torch": {
        "conv/kernel": 1 / math.sqrt(72),
        "conv/bias": 1 / math.sqrt(72),
        "grouped/kernel": 1 / math.sqrt(27),
        "grouped/bias": 1 / math.sqrt(27),
        "depthwise/kernel": 1 / 5,
        "depthwise/bias": 1 / 5,
        "separable/depthwise/kernel": 1 / 3,
        "separable/pointwise/kernel": 1 / math.sqrt(8),
        "separable/pointwise/bias": 1 / math.sqrt(8),
        "head/kernel": 1 / 8,
        "head/bias": 1 / 8,
    },
}


def build():
    net = NetworkBuilder("net", (12, 12, 8))
    last = net.add("conv", Conv2D(filters=12, kernel_size=(3, 3)), IMAGES)
    last = net.add("grouped", Conv2D(filters=8, kernel_size=(3, 3), groups=4), last)
    last = net.add("depthwise", DepthwiseConv2D(kernel_size=(5, 5)), last)
    last = net.add("separable", SeparableConv2D(filters=64, kernel_size=(3, 3)), last)
    last = net.add("pool", GlobalPool(), last)
    net.add("head", Dense(units=50), last)
    return net.build()


@pytest.mark.parametrize("framework", ["tf", "torch"])
def test_limits_by_hand(framework: str) -> None:
    changed = with_habits(build(), HabitsSpec(initializers="native"), framework)
    drawn = draw_weights(changed.parameters, 0)
    assert drawn.keys() == LIMITS[framework].keys()
    for name, limit in LIMITS[framework].items():
        values = drawn[name]
        assert np.abs(values).max() <= limit * (1 + 1e-6), name
        if limit and values.size > 100:
            # The deviation of a uniform distribution is its limit / sqrt(3).
            assert values.std() == pytest.approx(limit / math.sqrt(3), rel=0.15), name
            assert np.abs(values).max() > 0.9 * limit, name


def test_gates_and_statistics_start_as_before() -> None:
    network = ModelSpec(name="resnet18").declare((32, 32, 3), 10)
    changed = with_habits(network, HabitsSpec(initializers="native"), "torch")
    for before, after in zip(network.parameters, changed.parameters, strict=True):
        assert after == before or before.name.endswith(("kernel", "bias"))
        if before.name.endswith("kernel"):
            assert after.initializer.distribution == "torch_uniform"
    start = Conv2D(filters=4, kernel_size=(1, 1), initial_bias=-3.0)
    net = NetworkBuilder("gate", (4, 4, 2))
    net.add("gate", start, IMAGES)
    gate = with_habits(net.build(), HabitsSpec(initializers="native"), "torch")
    assert gate.parameters[1].initializer.scale == -3.0
