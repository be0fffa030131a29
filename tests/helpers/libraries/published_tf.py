"""Prints, as JSON, how far this project's tf nets are from keras.applications' under equal weights.

A process of its own, so that float64 can be Keras' default. Keras builds its layers in the order of
its code, which numbers them; the declared networks hold theirs in the same order.
"""

import json
import re
import sys

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.libraries.published_cases import KERAS, draw_images, draw_values
from poc.tf_impl.models import Model
from poc.tf_impl.weights import load_weights

CONVOLUTIONS = (keras.layers.Conv2D,)
NORMS = (keras.layers.BatchNormalization,)
KINDS = {"conv2d": CONVOLUTIONS, "batch_norm": NORMS, "dense": (keras.layers.Dense,)}
# A layer with a number of its own comes where its block is; others come by their number.
BLOCK = re.compile(r"block(\d+)_(\d+)_conv$")


def number(layer):
    found = re.search(r"_(\d+)$", layer.name)
    return int(found[1]) if found else 0


def is_automatic(layer):
    return re.fullmatch(r"(conv2d|batch_normalization)(_\d+)?", layer.name) is not None


def layers_by_case(model, case, kind):
    """Keras' layers of one kind in the order in which the declared network has them."""
    found = [layer for layer in model.layers if isinstance(layer, KINDS[kind])]
    if case.order == "named":
        return {layer.name: layer for layer in found}
    return sorted((layer for layer in found if is_automatic(layer)), key=number)


def copy_values(network, model, case, values):
    for kind in KINDS:
        nodes = [node for node in network.nodes if node.layer.kind == kind]
        if kind == "dense":
            pairs = [(nodes[0], model.get_layer("predictions"))]
        elif case.order == "named":
            pairs = [(node, model.get_layer(case.name_of(node.name))) for node in nodes]
        else:
            automatic = layers_by_case(model, case, kind)
            numbered = [node for node in nodes if case.name_of(node.name) is None]
            named = [node for node in nodes if case.name_of(node.name) is not None]
            pairs = [*zip(numbered, automatic, strict=True)]
            pairs += [(node, model.get_layer(case.name_of(node.name))) for node in named]
        for node, layer in pairs:
            arrays = [values[parameter.name] for parameter in node.parameters]
            layer.set_weights(arrays)


def compare(case):
    run = case.run()
    ours, theirs = Model(declare_network(run), dtype="float64"), case.build(keras.applications)
    values = draw_values(run)
    load_weights(ours, values)
    copy_values(declare_network(run), theirs, case, values)
    assert sum(np.prod(w.shape) for w in theirs.weights) == sum(v.size for v in values.values())
    images = tf.constant(draw_images(run))
    found = {}
    for mode in ("evaluation", "training"):
        output = theirs(images, training=mode == "training")
        found[mode] = error(ours(images, training=mode == "training"), output)
        found[f"{mode} size"] = float(np.abs(output).max())
    return found


def error(first, second):
    return float(np.abs(first - second).max() / np.abs(second).max())


if __name__ == "__main__":
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    print(json.dumps(compare(KERAS[sys.argv[1]])))
