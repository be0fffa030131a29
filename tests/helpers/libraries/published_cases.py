"""Nets that torchvision or keras.applications has as well, each at two input sizes, one odd."""

import re
from typing import Any, NamedTuple

import numpy as np

from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.architectures.table import ARCHITECTURES

NUM_CLASSES = 7
BATCH = 3


class Case(NamedTuple):
    """One net at one input size; `theirs` is the name of the other library's function."""

    theirs: str
    model: str
    size: int
    options: dict[str, Any]
    order: str = "named"

    def run(self) -> RunSpec:
        values = {
            "method": "scratch",
            "model": {"name": self.model, "options": self.options},
            "input_shape": [self.size, self.size, 3],
            "num_classes": NUM_CLASSES,
            "precision": "float64",
        }
        return RunSpec.parse(values, "")

    def build(self, library: Any) -> Any:
        function = getattr(library, self.theirs)
        if library.__name__.startswith("torchvision"):
            return function(weights=None, num_classes=NUM_CLASSES)
        return function(
            weights=None,
            classes=NUM_CLASSES,
            classifier_activation=None,
            input_shape=(self.size, self.size, 3),
        )

    def name_of(self, node: str) -> str | None:
        """Keras' name of a node, or none where its layers are numbered."""
        return NAMES[self.model](node)


def inception_name(node: str) -> str | None:
    if node in ("last", "last_norm"):
        return "conv_7b" + ("_bn" if node == "last_norm" else "")
    found = re.fullmatch(r"block(\d+)_(\d+)/expand", node)
    return f"block{found[1]}_{found[2]}_conv" if found else None


def resnet_name(node: str) -> str:
    if node in ("conv1", "bn1"):
        return {"conv1": "conv1_conv", "bn1": "conv1_bn"}[node]
    stage, block, part, *rest = node.split("/")
    prefix = f"conv{int(stage[-1]) + 1}_block{int(block) + 1}"
    if part == "downsample":
        return f"{prefix}_0_{('conv', 'bn')[int(rest[0])]}"
    return f"{prefix}_{part[-1]}_{part[:-1]}"


def resnet_v2_name(node: str) -> str:
    if node in ("conv1", "norm"):
        return {"conv1": "conv1_conv", "norm": "post_bn"}[node]
    stage, block, part = node.split("/")
    prefix = f"conv{int(stage[-1]) + 1}_{block}"
    if part == "norm0":
        return f"{prefix}_preact_bn"
    if part == "shortcut":
        return f"{prefix}_0_conv"
    return f"{prefix}_{part[-1]}_{'bn' if part.startswith('norm') else 'conv'}"


NAMES = {
    "inception_v3": inception_name,
    "inception_resnet_v2": inception_name,
    "resnet50": resnet_name,
    "resnet50v2": resnet_v2_name,
}


def find_cases(framework: str) -> dict[str, Case]:
    """Every net of the table of architectures that this framework's library has, at each size."""
    return {
        f"{twin.build} {side}": Case(twin.build, row.model, side, row.options, twin.order)
        for row in ARCHITECTURES.values()
        if (twin := row.twin) is not None and twin.framework == framework
        for side in twin.sides
    }


TORCHVISION, KERAS = find_cases("torch"), find_cases("tf")


def draw_values(run: RunSpec) -> dict[str, np.ndarray]:
    """Weights of which none has a special value."""
    generator = np.random.default_rng(1)
    return {
        name: value if name.endswith("/kernel") else value + generator.uniform(0, 0.1, value.shape)
        for name, value in draw_weights(declare_network(run).parameters, 0).items()
    }


def draw_images(run: RunSpec) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(BATCH, *run.input_shape))
