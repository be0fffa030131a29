"""Initial weights: what is drawn for a new head is what a frozen network trains."""

import numpy as np
import pytest

from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.freezing import partly_frozen
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.weights.start import transfer


def declare(name):
    return ModelSpec(name=name).declare(find_model(name).example_input, 3)


def outlines(network, value):
    """Weights of one value, which take no memory."""
    return {p.name: np.broadcast_to(np.float32(value), p.shape) for p in network.parameters}


@pytest.mark.parametrize("name", MODELS)
def test_a_new_head_is_what_trains_where_the_body_is_frozen(name):
    network = declare(name)
    started = transfer(network, outlines(network, 1), outlines(network, 2), new_head="all")
    drawn = {name for name, value in started.items() if value.flat[0] == 2}
    frozen = partly_frozen(network, trained_blocks=0, bn_mode="frozen")
    trained = {p.name for p in frozen.parameters if p.is_trainable}
    assert drawn == trained


def test_the_hidden_layer_of_mobilenet_v3_comes_from_the_file():
    network = declare("mobilenet_v3_small")
    file = draw_weights(network.parameters, 0)
    started = transfer(network, file, draw_weights(network.parameters, 1), new_head="all")
    changed = {name for name, value in started.items() if not np.array_equal(value, file[name])}
    # Both biases begin at zero.
    assert changed == {"head/kernel"}
