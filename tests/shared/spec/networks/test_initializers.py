"""Initial weights: moments of every distribution, and streams that do not move each other."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from poc.shared.spec.networks.initializers import DISTRIBUTIONS, draw_parameter, draw_weights
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D
from poc.shared.spec.networks.layers.declaration import Initializer, Parameter
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.weights.published.table import find_schemes

MOBILENETS = ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]
TORCHVISION = {"lineage": "torchvision"}
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


def test_fans_of_a_depthwise_kernel():
    """PyTorch's layout is (5, 1, 3, 2), with outputs first; Keras' is (3, 2, 5, 1)."""
    for name, fans in (("kaiming_normal_fan_out", (6, 30)), ("glorot_uniform", (30, 6))):
        layer = DepthwiseConv2D(kernel_size=(3, 2), initializer=name)
        start = layer.parameters([(9, 9, 5)])[0].initializer
        assert (start.fan_in, start.fan_out) == fans


@pytest.mark.parametrize("model", MOBILENETS)
def test_depthwise_kernels_of_torchvisions_lineage_start_small(model):
    """Their 16 to 960 channels count as outputs: N(0, 2 / (k k C))."""
    network = ModelSpec(name=model, options=TORCHVISION).declare((224, 224, 3), 10)
    kernels = {
        name: value
        for name, value in draw_weights(network.parameters, 0).items()
        if name.endswith("depthwise_conv/kernel")
    }
    assert len(kernels) > 10
    for name, value in kernels.items():
        # The deviation of n values is known to 1 / sqrt(2 n).
        margin = 4 / math.sqrt(2 * value.size)
        assert value.std() == pytest.approx(math.sqrt(2 / value.size), rel=margin), name


LIBRARY = """
import json, torchvision
models = {name: torchvision.models.get_model(name, weights=None) for name in %r}
print(json.dumps({
    name: {key: float(value.detach().std()) for key, value in model.named_parameters()
           if value.ndim == 4}
    for name, model in models.items()
}))
"""


@pytest.mark.torch
def test_kernels_of_torchvisions_lineage_start_as_torchvisions():
    command = [sys.executable, "-W", "ignore", "-c", LIBRARY % (MOBILENETS,)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for model, deviations in json.loads(done.stdout).items():
        network = ModelSpec(name=model, options=TORCHVISION).declare((224, 224, 3), 1000)
        scheme = next(s for s in find_schemes(model) if s.name == "torchvision")
        names, drawn = scheme.tensors(network), draw_weights(network.parameters, 0)
        kernels = {name: value for name, value in drawn.items() if names[name] in deviations}
        assert len(kernels) == len(deviations)
        for name, value in kernels.items():
            # Two drawn deviations, each known to 1 / sqrt(2 n).
            margin = 5 / math.sqrt(value.size)
            assert value.std() == pytest.approx(deviations[names[name]], rel=margin), name


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
