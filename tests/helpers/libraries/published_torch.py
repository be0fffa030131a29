"""Prints, as JSON, how far this project's torch nets are from torchvision's under equal weights.

A process of its own: torchvision must not meet TensorFlow. Everything is float64.
"""

import json
import sys

import numpy as np
import torch  # noqa: TID253
import torchvision  # noqa: TID253

from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.libraries.published_cases import TORCHVISION, draw_images, draw_values
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights, named_variables

NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "kernel": "weight",
    "bias": "bias",
}


def their_name(name):
    owner, _, last = name.rpartition("/")
    return f"{owner.replace('/', '.')}.{NAMES[last]}"


def compare(case):
    run = case.run()
    ours, theirs = (
        Model(declare_network(run), dtype="float64"),
        case.build(torchvision.models).double(),
    )
    values = draw_values(run)
    load_weights(ours, values)
    state = {their_name(name): value for name, value in named_variables(ours).items()}
    missing = [key for key in theirs.state_dict() if key not in state]
    assert all(key.endswith("num_batches_tracked") for key in missing), missing
    theirs.load_state_dict({key: value.clone() for key, value in state.items()}, strict=False)
    images = torch.from_numpy(draw_images(run)).permute(0, 3, 1, 2)
    found = {}
    with torch.no_grad():
        for mode in ("evaluation", "training"):
            theirs.train(mode == "training")
            output = theirs(images)
            found[mode] = error(ours(images, training=mode == "training"), output)
            found[f"{mode} size"] = float(output.abs().max())
    moved = {their_name(name): value for name, value in named_variables(ours).items()}
    found["statistics"] = max(
        error(moved[key], value) for key, value in theirs.state_dict().items() if "running" in key
    )
    return found


def error(first, second):
    return float((first - second).abs().max() / second.abs().max())


if __name__ == "__main__":
    torch.manual_seed(0)
    np.random.default_rng(0)
    print(json.dumps(compare(TORCHVISION[sys.argv[1]])))
