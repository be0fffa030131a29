"""Run by test_native_tf.py in a process of its own: writes native models, prints how they compare.

Arguments: a folder, then names of rows of the table of architectures. Each net is held against the
engine's model of the same weights, saved and, in the folder's `exported`, exported.
"""

import json
import sys
from pathlib import Path

import keras  # noqa: TID253
import numpy as np

from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.weights.published.native_names import name_native_layers
from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.tf_impl import build_native_model
from poc.tf_impl.models import Model
from poc.tf_impl.weights import load_weights, named_variables, read_weights

BATCH = 3


def relative(first, second):
    first, second = np.asarray(first), np.asarray(second)
    assert first.shape == second.shape
    assert np.isfinite(first).all()
    return float(np.abs(first - second).max() / np.abs(second).max())


def declare(name):
    """Network, weights whose statistics are no plain zeros and ones, names and images."""
    run = SMALL_CASES[name].run("tf")
    network = standalone(declare_network(run))
    generator = np.random.default_rng(7)
    weights = {
        key: value
        if key.endswith("kernel")
        else (value + generator.uniform(0, 0.1, value.shape)).astype(np.float32)
        for key, value in draw_weights(network.parameters, 0).items()
    }
    images = generator.normal(size=(BATCH, *network.input_shape)).astype(np.float32)
    return network, weights, name_native_layers(network, run.model, "tf"), images


def named_weights(network, model, names):
    """Canonical name -> value of a native model, by the names of its layers alone."""
    found = {}
    for node in network.nodes:
        name = names[node.name]
        for variable in model.get_layer(name).weights:
            path = variable.path.replace(name, node.name, 1)
            found[path] = np.asarray(variable).copy()
    return found


def compare_training(network, native, engine, names, images):
    """Errors of outputs and weights after one pass in training mode, and if statistics moved."""
    before = read_weights(engine)
    before = {name: value.copy() for name, value in before.items()}
    error = relative(native(images, training=True), engine(images, training=True))
    after, expected = named_weights(network, native, names), read_weights(engine)
    moved = [name for name, value in expected.items() if not np.array_equal(value, before[name])]
    return {
        "error": error,
        "weights": max(relative(after[name], expected[name]) for name in expected),
        "moved": sorted({name.rpartition("/")[2] for name in moved}),
        "is_each_moved": len(moved) == sum("/moving_" in name for name in expected),
    }


def summarise(model):
    lines = []
    model.summary(print_fn=lambda text, line_break=None: lines.append(text), line_length=200)
    return "\n".join(lines)


def twin_differences(model):
    """Layers that differ in a model made from this one's JSON, also by a list for a tuple."""
    twin = keras.models.model_from_json(model.to_json())
    pairs = zip(model.layers[1:], twin.layers[1:], strict=True)
    return [
        layer.name
        for layer, made in pairs
        if made.get_config() != layer.get_config() or made.options != layer.options
    ]


def write_net(name, folder, is_exported):
    network, weights, names, images = declare(name)
    native = build_native_model(network, weights, names)
    engine = Model(network)
    load_weights(engine, weights)
    logits = np.asarray(native(images))
    has_norms = any("/moving_" in key for key in weights)
    is_random = bool(network.dropouts or network.gates)
    middle = network.nodes[len(network.nodes) // 2].name
    part = keras.Model(native.input, native.get_layer(names[middle]).output)
    path = Path(folder) / name.replace(" ", "_")
    np.savez(f"{path}.npz", images=images, logits=logits, middle=np.asarray(part(images)))
    native.save(f"{path}.keras")
    part.save(f"{path}.part.keras")
    native.save(f"{path}.h5")
    if is_exported:
        native.export(f"{path}.exported", verbose=False)
    text = summarise(native)
    found = {
        "evaluation": relative(logits, engine(images, training=False)),
        "weights": list(named_weights(network, native, names)),
        "expected_weights": list(named_variables(engine)),
        "unknown_shapes": text.count("?"),
        "shapes": {layer.name: list(layer.output.shape) for layer in native.layers[1:]},
        "expected_shapes": {
            node.name.replace("/", "."): [None, *node.output_shape] for node in network.nodes
        },
        "is_shown": all(f" {names[node.name]} (" in text for node in network.nodes),
        "twin_differences": twin_differences(native),
    }
    if has_norms and not is_random:
        found["training"] = compare_training(network, native, engine, names, images)
    return found


if __name__ == "__main__":
    folder, is_exported, *rows = sys.argv[1:]
    print(json.dumps({row: write_net(row, folder, is_exported == "exported") for row in rows}))
