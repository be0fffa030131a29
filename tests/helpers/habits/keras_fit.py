"""Run by test_habits.py in a process of its own: native habits against Keras' `fit`, as JSON."""

import json

import keras  # noqa: TID253
import numpy as np

import poc.tf_impl as backend
from poc.tests.helpers.habits import cases
from poc.tf_impl.layers.basic import BatchNorm, Dropout
from poc.tf_impl.optimizers.clipping import clip_natively

RULES = {
    "sgd": lambda rule, **options: keras.optimizers.SGD(
        momentum=rule["momentum"], nesterov=rule.get("nesterov", False), **options
    ),
    "adam": lambda rule, **options: keras.optimizers.Adam(**options),
    "adamw": lambda rule, **options: keras.optimizers.AdamW(weight_decay=cases.DECAY, **options),
}


def build(decay):
    """The network as a user of Keras writes it; `decay` is that of its regularisers."""
    layers, l2 = keras.layers, keras.regularizers.L2(decay) if decay else None
    return keras.Sequential(
        [
            keras.Input(cases.SHAPE),
            layers.Conv2D(cases.WIDTH, 3, strides=2, padding="same", kernel_regularizer=l2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, strides=2, padding="same", depthwise_regularizer=l2),
            layers.AveragePooling2D(3, strides=1, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(cases.CLASSES, kernel_regularizer=l2),
        ]
    )


def fit(rule):
    """The weights after `fit`, under the names of `shared`."""
    model = build(0 if rule["name"] == "adamw" else cases.DECAY)
    start = cases.drawn()
    # Keras lists the weights in the order of the layers, as the declaration does, but for those of
    # the batch norm, whose order is the same too.
    model.set_weights([start[name] for name in start])
    images, labels = cases.batches()
    flat = images.reshape(-1, *cases.SHAPE).astype(np.float64)
    targets = np.eye(cases.CLASSES)[labels.reshape(-1)]
    model.compile(
        optimizer=RULES[rule["name"]](rule, learning_rate=cases.RATES[0]),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=cases.SMOOTHING
        ),
    )
    half = len(flat) // 2
    for part, rate in ((slice(None, half), cases.RATES[0]), (slice(half, None), cases.RATES[-1])):
        model.optimizer.learning_rate = rate
        model.fit(
            flat[part],
            targets[part],
            batch_size=cases.BATCH,
            shuffle=False,
            verbose=0,
            class_weight=dict(enumerate(cases.CLASS_WEIGHTS)),
        )
    return dict(zip(start, model.get_weights(), strict=True))


def measure_starts():
    """Largest value that the classes draw for layers of the unit test, over several draws."""
    layers = keras.layers
    made = {
        "conv": (layers.Conv2D(12, 3), 8),
        "grouped": (layers.Conv2D(8, 3, groups=4), 12),
        "depthwise": (layers.DepthwiseConv2D(5), 8),
        "head": (layers.Dense(50), 64),
    }
    found: dict[str, float] = {}
    for name, (layer, channels) in made.items():
        shape = (None, channels) if name == "head" else (None, 12, 12, channels)
        for _ in range(40):
            fresh = type(layer).from_config(layer.get_config())
            fresh.build(shape)
            for part, values in zip(("kernel", "bias"), fresh.get_weights(), strict=True):
                key = f"{name}/{part}"
                found[key] = max(found.get(key, 0.0), float(np.abs(values).max()))
    return found


def drop():
    """Whether a mask of our own layer is that of Keras' class with the same seed."""
    ours = Dropout(0.25, dtype="float32")
    theirs = keras.layers.Dropout(0.25, seed=7, dtype="float32")
    ours.seed_generator = keras.random.SeedGenerator(7)
    ones = np.ones((64, 40), np.float32)
    pairs = [(ours(ones, training=True), theirs(ones, training=True)) for _ in range(3)]
    return [bool(np.array_equal(np.asarray(a) > 0, np.asarray(b) > 0)) for a, b in pairs]


def clip():
    """The error of the clipped gradients against Keras' own optimiser, in one step of SGD."""
    value, gradient = np.arange(6.0), np.linspace(-2, 3, 6)
    variable = keras.Variable(value, dtype="float64")
    keras.optimizers.SGD(1.0, global_clipnorm=0.3).apply([gradient], [variable])
    ours = np.asarray(clip_natively([gradient], [variable], 0.3)[0])
    return float(np.abs(value - np.asarray(variable) - ours).max() / 0.3)


def collect():
    """Running variance after one batch, of our layer and of Keras' class; one value per channel."""
    images = np.random.default_rng(2).normal(size=(4, 2, 2, 3))
    found = {}
    for name, given in (("many", images), ("one", images[:1, :1, :1])):
        ours = BatchNorm(3, dtype="float64")
        ours.corrects_variance = False
        ours.moving_variance.assign(np.ones(3))
        theirs = keras.layers.BatchNormalization()
        ours(given, training=True)
        theirs(given, training=True)
        found[name] = [
            np.asarray(ours.moving_variance).tolist(),
            np.asarray(theirs.moving_variance).tolist(),
        ]
    return found


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    result = {
        "steps": cases.all_errors(backend, "tf", fit),
        "starts": measure_starts(),
        "dropout": drop(),
        "clip": clip(),
        "variance": collect(),
    }
    print(json.dumps(result))
