"""A network as a model that a Keras user takes home."""

from collections.abc import Mapping

import keras

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import IMAGES, Network

from .models import Model
from .weights import load_weights


def build_native_model(network: Network, weights: Weights, names: Mapping[str, str]) -> keras.Model:
    """Return a functional model: images (N, H, W, C) float32 -> logits (N, num_classes) float32.

    It saves, loads, clones and fits as any model of the framework. Random layers draw their own
    masks in training; a batch norm that is set to `trainable = False` keeps its statistics.

    Args:
        network: The network; all its layers train.
        weights: Canonical name -> array of the declared shape (…).
        names: Node -> name of its layer.
    """
    model = Model(network, names=names)
    load_weights(model, weights)
    images = keras.Input(network.input_shape, name=IMAGES)
    values = {IMAGES: images}
    for node in network.needed([network.output]):
        inputs = [values[name] for name in node.inputs]
        values[node.name] = model.node_layers[node.name](*inputs)
    return keras.Model(images, values[network.output], name=network.name)
