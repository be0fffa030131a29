"""Keras' own models and this project's files: ACTION FOLDER NAME OPTIONS, run as a script.

`save` writes weights and logits of a random model; `load` lets Keras read what was converted back,
and exits with 1 where one variable is not what was saved.
"""

import json
import sys
from pathlib import Path

import keras  # noqa: TID253 - a script of its own
import numpy as np


def build(name, options):
    return getattr(keras.applications, name)(weights=None, classifier_activation=None, **options)


def save(folder, model):
    draw = np.random.default_rng(0)
    for variable in model.weights:
        if "moving_variance" in variable.path:
            variable.assign(draw.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(variable + draw.normal(0, 0.1, variable.shape))
    images = draw.uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    model.save_weights(folder / "saved.weights.h5")
    model.save(folder / "saved.h5")
    np.savez(
        folder / "saved.npz",
        images=images,
        logits=np.asarray(model(images)),
        **{f"weights:{number}": np.asarray(v) for number, v in enumerate(model.weights)},
    )


def load(folder, model):
    with np.load(folder / "saved.npz") as file:
        saved = dict(file)
    for path, settings in (
        ("back.weights.h5", {}),
        ("back.h5", {"by_name": True}),
        ("back.h5", {}),
    ):
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape))
        if not (folder / path).exists():
            continue
        model.load_weights(folder / path, **settings)
        for number, variable in enumerate(model.weights):
            if not np.array_equal(np.asarray(variable), saved[f"weights:{number}"]):
                sys.exit(f"{path} {settings}: {variable.path} is another")


if __name__ == "__main__":
    action, folder, name, options = sys.argv[1:]
    if action == "save":
        # Keras then counts on from the layers of this one.
        build("MobileNetV2", {"alpha": 0.35, "input_shape": (32, 32, 3)})
        keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization()
    {"save": save, "load": load}[action](Path(folder), build(name, json.loads(options)))
