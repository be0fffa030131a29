"""Run by test_native_tf.py in a fresh process that imports Keras and poc, and no part of poc.

Arguments: `keras,poc` or `poc,keras`, the order of the imports; then paths without their endings.
Prints the error of the logits of each `.keras` and `.h5` file, of its part, and of each exported
folder.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np

order, *paths = sys.argv[1:]
for module in order.split(","):
    importlib.import_module(module)
keras = sys.modules["keras"]


def relative(first, second):
    first = np.asarray(first)
    assert first.shape == second.shape
    assert np.isfinite(first).all()
    return float(np.abs(first - second).max() / np.abs(second).max())


def read_net(path):
    with np.load(f"{path}.npz") as stored:
        known = dict(stored)
    images = known["images"]
    found = {
        "logits": relative(keras.models.load_model(f"{path}.keras")(images), known["logits"]),
        "middle": relative(keras.models.load_model(f"{path}.part.keras")(images), known["middle"]),
    }
    # Keras' former file format, whose reader takes some options for names of functions.
    found["h5"] = relative(keras.models.load_model(f"{path}.h5")(images), known["logits"])
    if Path(f"{path}.exported").exists():
        import tensorflow as tf

        exported = tf.saved_model.load(f"{path}.exported")
        found["exported"] = relative(exported.serve(images), known["logits"])
        found["one exported image"] = relative(exported.serve(images[:1]), known["logits"][:1])
    return found


print(json.dumps([read_net(path) for path in paths]))
