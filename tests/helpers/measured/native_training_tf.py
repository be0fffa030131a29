"""Run by test_native_tf.py in a process of its own: prints how native models train, as JSON.

Arguments: a folder, and the names of what to do.
"""

import json
import sys
from dataclasses import replace

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from poc.shared.data.sources.table import open_source
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.spec.networks.freezing import partly_frozen, standalone
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.tf_impl import build_native_model
from poc.tf_impl.layers.basic import Dropout
from poc.tf_impl.layers.residual import StochasticDepth
from poc.tf_impl.models import Model
from poc.tf_impl.weights import load_weights, read_weights

# No divisor of the number of images, so that an epoch ends in a smaller batch.
COUNT, BATCH, EPOCHS = 400, 60, 10
FROZEN = ("stage1.conv", "stage1.norm")


def read_images():
    source = open_source("embedded")
    chosen = range(COUNT)
    images = np.stack([source.image(index) for index in chosen]).astype(np.float32)
    return images / 255, np.asarray(source.labels)[:COUNT]


def declare(name="simple_cnn", shape=(28, 28, 1), **options):
    options = options or {"widths": [8, 16], "dropout": 0.1}
    return standalone(ModelSpec(name=name, options=options).declare(shape, 10))


def build(network, seed=0):
    names = {node.name: node.name.replace("/", ".") for node in network.nodes}
    return build_native_model(network, draw_weights(network.parameters, seed), names)


def compiled(model, jit_compile=False):
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return model


def arrays_of(model):
    """Path -> value of each weight."""
    return {weight.path: np.asarray(weight).copy() for weight in model.weights}


def unmoved(before, model):
    after = arrays_of(model)
    return sorted(path for path in before if np.array_equal(before[path], after[path]))


def fit(model, images, labels, epochs=EPOCHS):
    """Loss before and after by `evaluate`, and the weights that stood still."""
    before = arrays_of(model)
    first = model.evaluate(images, labels, batch_size=BATCH, verbose=0)[0]
    history = model.fit(images, labels, batch_size=BATCH, epochs=epochs, verbose=0)
    last, accuracy = model.evaluate(images, labels, batch_size=BATCH, verbose=0)
    predicted = model.predict(images, batch_size=BATCH, verbose=0)
    return {
        "before": first,
        "after": last,
        "accuracy": accuracy,
        "losses": history.history["loss"],
        "unmoved": unmoved(before, model),
        "predicted": list(predicted.shape),
        "share_predicted": float(np.mean(predicted.argmax(axis=1) == labels)),
    }


def fit_with_seed(seed, images, labels):
    """Losses of one epoch with dropout, under XLA."""
    keras.utils.set_random_seed(seed)
    model = compiled(build(declare(widths=[6], dropout=0.5)), jit_compile=True)
    return fit(model, images, labels, epochs=1)["losses"]


def clone(images, labels):
    """A clone's initial values, and how it learns."""
    network = declare("lightnet_residual", widths=[6, 8], k=6)
    twin = keras.models.clone_model(build(network))
    values = arrays_of(twin)
    limits = {}
    for path, value in values.items():
        if path.endswith("kernel"):
            window = np.prod(value.shape[:-2])
            limit = np.sqrt(6 / (window * (value.shape[-2] + value.shape[-1])))
            limits[path] = [float(np.abs(value).max() / limit), float(value.std() / limit)]
    return {
        "limits": limits,
        "ones": [p for p in values if p.endswith(("gamma", "variance")) and (values[p] == 1).all()],
        "zeros": [
            p for p in values if p.endswith(("bias", "beta", "mean")) and not values[p].any()
        ],
        "all": sorted(values),
        # Two kernels of one shape, (3, 3, 6, 6), in one layer.
        "is_one_drawn_twice": np.array_equal(
            values["block1.conv2/reduce/kernel"], values["block1.conv2/expand/kernel"]
        ),
        "fit": fit(compiled(twin), images, labels),
    }


def freeze_some(folder, images, labels):
    """What stands still with some layers frozen, and the flags that a file keeps."""
    model = build(declare())
    for name in FROZEN:
        model.get_layer(name).trainable = False
    norm = model.get_layer("stage1.norm")
    maps = np.random.default_rng(0).normal(size=(5, 4, 4, 8)).astype(np.float32)
    is_inference = np.array_equal(norm(maps, training=True), norm(maps, training=False))
    found = fit(compiled(model), images, labels, epochs=1)
    model.save(f"{folder}/frozen.keras")
    loaded = keras.models.load_model(f"{folder}/frozen.keras")
    return {
        "is_inference": is_inference,
        "unmoved": found["unmoved"],
        "of_frozen": [w.path for name in FROZEN for w in model.get_layer(name).weights],
        "loaded": [layer.name for layer in loaded.layers if not layer.trainable],
        "trainable": [w.path for w in loaded.trainable_weights],
        "is_optimizer_loaded": int(loaded.optimizer.iterations) == int(model.optimizer.iterations),
        "error": float(np.abs(np.asarray(loaded(images) - model(images))).max()),
    }


def draws(layer, images, axes):
    """What two passes in training mode and one in evaluation do with ones; `axes` share a draw."""
    first, second = (np.asarray(layer(images, training=True)) for _ in range(2))
    shared = first if axes is None else first.min(axis=axes, keepdims=True)
    return {
        "values": sorted({round(float(value), 5) for value in np.unique(first)}),
        "share_dropped": float(np.mean(shared == 0)),
        "is_shared": bool((first == shared).all()),
        "differs": not np.array_equal(first, second),
        "evaluation": sorted({float(value) for value in np.unique(layer(images, training=False))}),
        "default": sorted({float(value) for value in np.unique(layer(images))}),
    }


def draw_layers():
    """Random layers without masks, and with one."""
    branch = {"rate": 0.25, "training_factor": 1 / 0.75, "evaluation_factor": 1.0}
    gate = StochasticDepth(rate=0.25, is_gate=True, training_factor=1.0, evaluation_factor=0.75)
    passes = np.stack([gate(np.ones((3, 2, 2, 1)), training=True) for _ in range(1000)])
    kept = np.arange(12).reshape(3, 4) % 3 > 0
    return {
        "dropout": draws(Dropout(0.25), np.ones((2000, 4)), None),
        "spatial": draws(Dropout(0.25, is_spatial=True), np.ones((1000, 3, 2, 4)), (1, 2)),
        "row": draws(StochasticDepth(is_gate=False, **branch), np.ones((4000, 2, 2, 3)), (1, 2, 3)),
        "gate": {
            "values": sorted({float(value) for value in np.unique(passes)}),
            "share_dropped": float(np.mean(passes[:, 0] == 0)),
            "is_shared": bool((passes == passes[:, :1, :1, :1]).all()),
            "evaluation": float(np.max(gate(np.ones((3, 2, 2, 1)), training=False))),
        },
        "given": np.asarray(Dropout(0.5)(np.ones((3, 4)), kept, training=True)).tolist(),
        "kept": kept.tolist(),
        "no rate": draws(Dropout(0.0), np.ones((20, 4)), None),
    }


def engine_pass(network, noise):
    """The error of a training pass of the engine's model, or what it moved."""
    model = Model(network)
    load_weights(model, draw_weights(network.parameters, 0))
    before = {name: value.copy() for name, value in read_weights(model).items()}
    images = np.random.default_rng(0).normal(size=(4, *network.input_shape)).astype(np.float32)
    masks = {name: tf.constant(mask) for name, mask in noise.items()}
    try:
        model(images, masks, training=True)
    except ValueError as error:
        return str(error)
    after = read_weights(model)
    return sorted(name for name in after if not np.array_equal(before[name], after[name]))


def train_engine():
    """Passes of the engine without masks, and with frozen norms that adapt or do not."""
    dropout, plain = declare(), declare(widths=[6], dropout=0.0)
    depth = {"blocks_per_stage": 1, "width": 2}
    nets = {
        mode: declare("resnet32_cifar", (12, 12, 3), **depth, stochastic_depth=mode)
        for mode in ("batch", "row")
    }
    frozen = replace(dropout, nodes=tuple(replace(n, is_frozen=True) for n in dropout.nodes))
    return {
        "dropout": engine_pass(dropout, {}),
        "given": engine_pass(dropout, draw_noise(dropout, seed=0, step=0, batch_size=4)),
        "no rate": engine_pass(plain, {}),
        "frozen": engine_pass(frozen, {}),
        **{mode: engine_pass(network, {}) for mode, network in nets.items()},
        **{
            mode: engine_pass(partly_frozen(plain, trained_blocks=0, bn_mode=mode), {})
            for mode in ("adapt_all", "adapt_last_stats")
        },
        "statistics": [p.name for p in plain.parameters if "/moving_" in p.name],
        "all statistics": [p.name for p in dropout.parameters if "/moving_" in p.name],
    }


if __name__ == "__main__":
    folder, *wanted = sys.argv[1:]
    images, labels = read_images()
    parts = {
        "draws": draw_layers,
        "engine": train_engine,
        "plain": lambda: fit(compiled(build(declare())), images, labels),
        "xla": lambda: fit(compiled(build(declare()), jit_compile=True), images, labels),
        "seeds": lambda: [fit_with_seed(seed, images, labels) for seed in (1, 1, 2)],
        "clone": lambda: clone(images, labels),
        "flags": lambda: freeze_some(folder, images, labels),
    }
    print(json.dumps({name: parts[name]() for name in wanted}))
