"""Initial weights: moments of every distribution, and streams that do not move each other."""

import math
from dataclasses import replace

import numpy as np
import pytest

from poc.shared.spec.networks.initializers import DISTRIBUTIONS, draw_parameter, draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Initializer, Parameter
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

FANS = {"fan_in": 30, "fan_out": 50}
# Distribution -> standard deviation, largest possible value.
MOMENTS = {
    "constant": (0.0, 0.5),
    "glorot_uniform": (math.sqrt(2 / 80), math.sqrt(6 / 80)),
    "torch_uniform": (1 / math.sqrt(3 * 30), 1 / math.sqrt(30)),
    "kaiming_normal_fan_out": (math.sqrt(2 / 50), math.inf),
    "kaiming_normal_fan_in": (math.sqrt(2 / 30), math.inf),
    "normal": (0.5, math.inf),
    "normal_fiftieth": (0.02, math.inf),
    "variance_scaling_fan_out": (math.sqrt(2 / 50), 2 * math.sqrt(2 / 50) / 0.8796),
}


def parameter(name="layer/kernel", shape=(200, 200), **initializer):
    return Parameter(name=name, shape=shape, initializer=Initializer(**initializer))


def test_every_distribution_is_in_the_table():
    assert set(DISTRIBUTIONS) >= set(MOMENTS)


@pytest.mark.parametrize("distribution", MOMENTS)
def test_moments(distribution):
    values = draw_parameter(parameter(distribution=distribution, scale=0.5, **FANS), 0)
    deviation, largest = MOMENTS[distribution]
    mean = 0.5 if distribution == "constant" else 0.0
    # 40,000 values: the mean is known to deviation / 200, the deviation to 0.4 %.
    assert abs(values.mean() - mean) <= 5 * deviation / 200
    assert values.std() == pytest.approx(deviation, rel=0.03)
    assert np.abs(values).max() <= largest * (1 + 1e-6)
    assert values.dtype == np.float64
    assert np.array_equal(values, values.astype(np.float32))


def test_a_renamed_parameter_does_not_move_the_others():
    table = [
        parameter(name=f"layer{n}/kernel", distribution="glorot_uniform", **FANS) for n in (1, 2, 3)
    ]
    drawn = draw_weights(table, 7)
    renamed = draw_weights([table[0], replace(table[1], name="other/kernel"), table[2]], 7)
    for name in ("layer1/kernel", "layer3/kernel"):
        assert np.array_equal(drawn[name], renamed[name])
    assert not np.array_equal(drawn["layer2/kernel"], renamed["other/kernel"])


def test_names_and_seeds_decide():
    first = parameter(distribution="normal")
    assert np.array_equal(draw_parameter(first, 3), draw_parameter(first, 3))
    assert not np.array_equal(draw_parameter(first, 3), draw_parameter(first, 4))
    other = replace(first, name="other/kernel")
    assert not np.array_equal(draw_parameter(first, 3), draw_parameter(other, 3))


def test_fans_of_a_convolution():
    kernel, bias = Conv2D(filters=8, kernel_size=(3, 2)).parameters([(9, 9, 5)])
    assert (kernel.initializer.fan_in, kernel.initializer.fan_out) == (30, 48)
    assert not draw_parameter(bias, 0).any()


def test_reference_biases_of_light_layers_are_glorot_of_their_own_length():
    """b ~ U(+-sqrt(3 / k)): the published code's accident (docs/methods/lightlayers.md)."""
    options = {"k": 3, "bias_initializer": "reference", "widths": [400]}
    run = RunSpec.parse(
        {
            "model": {"name": "lightnet_plain", "options": options},
            "input_shape": [8, 8, 1],
            "num_classes": 2,
        },
        "",
    )
    drawn = draw_weights(declare_network(run).parameters, 0)
    inner, outer = drawn["block1/conv1/reduce/bias"], drawn["block1/conv1/expand/bias"]
    assert 0 < np.abs(inner).max() <= 1.0
    limit = math.sqrt(3 / 400)
    assert 0.95 * limit < np.abs(outer).max() <= limit * (1 + 1e-6)
