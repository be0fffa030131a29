"""Run by test_habits.py in a process of its own: native habits against a plain script, as JSON."""

import json

import numpy as np
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

import poc.torch_impl as backend
from poc.shared.spec.habits.networks import with_habits
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.training.habits import HabitsSpec
from poc.tests.helpers.habits import cases
from poc.torch_impl.layers.basic import BatchNorm
from poc.torch_impl.models import Model
from poc.torch_impl.weights import load_weights

RULES = {
    "sgd": lambda rule, values, **options: torch.optim.SGD(
        values, momentum=rule["momentum"], nesterov=rule.get("nesterov", False), **options
    ),
    "adam": lambda rule, values, **options: torch.optim.Adam(values, **options),
    "adamw": lambda rule, values, **options: torch.optim.AdamW(values, **options),
}
NAMES = {"weight": "kernel", "bias": "bias"}
NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# Axes of a kernel in PyTorch's order.
AXES = {"conv": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1), "head": (1, 0)}


def build():
    """The network as a user of PyTorch writes it."""
    width = cases.WIDTH
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(3, width, 3, stride=2, padding=1))
    model.add_module("norm", nn.BatchNorm2d(width))
    model.add_module("relu", nn.ReLU())
    model.add_module("depthwise", nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width))
    model.add_module("pool", nn.AvgPool2d(3, 1, 1))
    model.add_module("global", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("head", nn.Linear(width, cases.CLASSES))
    return model.double()


def tensors(model):
    """Name in `shared` -> tensor and the axes of its order there."""
    found = {}
    for path, tensor in model.state_dict(keep_vars=True).items():
        layer, attribute = path.split(".")
        name = (NORM_NAMES if layer == "norm" else NAMES).get(attribute)
        if name is not None:
            found[f"{layer}/{name}"] = (tensor, AXES[layer] if name == "kernel" else None)
    return found


def script(rule):
    """The weights after a plain loop, under the names of `shared`."""
    model, start = build().train(), cases.drawn()
    with torch.no_grad():
        for name, (tensor, axes) in tensors(model).items():
            tensor.copy_(torch.from_numpy(start[name].transpose(axes) if axes else start[name]))
    optimizer = RULES[rule["name"]](rule, model.parameters(), lr=0.1, weight_decay=cases.DECAY)
    weights = torch.tensor(cases.CLASS_WEIGHTS, dtype=torch.float64)
    loss_of = nn.CrossEntropyLoss(weight=weights, label_smoothing=cases.SMOOTHING)
    for images, labels, rate in zip(*cases.batches(), cases.RATES, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        maps = torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2)
        loss_of(model(maps), torch.from_numpy(labels)).backward()
        optimizer.step()
    found = {}
    for name, (tensor, axes) in tensors(model).items():
        value = tensor.detach().numpy()
        found[name] = value.transpose(np.argsort(axes)) if axes else value
    return {name: found[name] for name in start}


def measure_starts():
    """Largest value that the classes draw for layers of the unit test, over several draws."""
    made = {
        "conv": lambda: nn.Conv2d(8, 12, 3),
        "grouped": lambda: nn.Conv2d(12, 8, 3, groups=4),
        "depthwise": lambda: nn.Conv2d(8, 8, 5, groups=8),
        "head": lambda: nn.Linear(64, 50),
    }
    found: dict[str, float] = {}
    for name, make in made.items():
        for _ in range(40):
            layer = make()
            for part, values in (("kernel", layer.weight), ("bias", layer.bias)):
                key = f"{name}/{part}"
                found[key] = max(found.get(key, 0.0), float(values.detach().abs().max()))
    return found


def drop():
    """Whether masks of the engine's model are those of PyTorch's function with the same seed."""
    network = ModelSpec(name="simple_cnn", options={"widths": [4], "dropout": 0.4}).declare(
        (8, 8, 1), 3
    )
    changed = with_habits(network, HabitsSpec(dropout="native"), "torch")
    model = Model(changed)
    load_weights(model, draw_weights(changed.parameters, 0))
    images = torch.ones(5, 1, 8, 8)
    name = next(node for node in changed.nodes if node.layer.kind == "dropout").name
    wanted = [name, next(node for node in changed.nodes if node.name == name).inputs[0]]
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        values = model.values(images, wanted, {}, training=True)
        torch.manual_seed(seed)
        # The network drops channels.
        expected = nn.functional.dropout2d(values[wanted[1]], 0.4)
        found.append(bool(torch.equal(values[name], expected)))
    return found


def collect():
    """Running variance after one batch without the correction, and by the formula."""
    maps = torch.from_numpy(np.random.default_rng(2).normal(size=(4, 3, 2, 2)))
    found = {}
    for name, given in (("many", maps), ("one", maps[:1, :, :1, :1])):
        layer = BatchNorm(3, dtype="float64")
        layer.corrects_variance = False
        layer(given, training=True)
        expected = 0.99 + 0.01 * given.numpy().var(axis=(0, 2, 3))
        found[name] = [layer.running_var.tolist(), expected.tolist()]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    result = {
        "steps": cases.all_errors(backend, "torch", script),
        "starts": measure_starts(),
        "dropout": drop(),
        "variance": collect(),
    }
    print(json.dumps(result))
