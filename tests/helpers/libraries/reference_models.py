"""Models of torchvision and keras.applications with random weights, run by their own library.

Started as a script in a process of its own: `reference_models.py FRAMEWORK OUTPUT BUILD:SIDES …`.
Writes one npz a build: weights by the library's names, and at each size images, labels, logits
in evaluation mode, and loss and gradients in training mode, all in float64.
"""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from poc.tests.helpers.libraries.convnext_models import build_convnext, find_keras
from poc.tests.helpers.libraries.transformer_models import build_transformer

BATCH = 4
CLASSES = 7
NUMBERED = re.compile(r"variable_\d+")
Arrays = dict[str, np.ndarray]


def draw_images(side: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(side)
    images = generator.uniform(-1, 1, (BATCH, side, side, 3))
    return images, generator.integers(0, CLASSES, BATCH)


def draw_value(generator: np.random.Generator, role: str, shape: tuple, fan_in: int) -> np.ndarray:
    """Values that let every tensor act: nothing is one or zero, and signals keep their size."""
    if role == "kernel":
        return generator.normal(0, np.sqrt(2 / fan_in), shape)
    if role in ("gamma", "variance"):
        return generator.uniform(0.5, 1.5, shape)
    return generator.normal(0, 0.1, shape)


def run_torch(build: str, sides: list[int]) -> Arrays:
    import torch

    model = build_torch(build, sides[0]).double()
    generator = np.random.default_rng(1)
    state = model.state_dict()
    for name, value in state.items():
        suffix = name.rpartition(".")[2]
        is_norm = value.ndim == 1
        roles = {
            "weight": "gamma" if is_norm else "kernel",
            **dict.fromkeys(("gamma", "lambda1"), "gamma"),
            "running_var": "variance",
        }
        if value.is_floating_point():
            fan_in = int(np.prod(value.shape[1:]))
            values = draw_value(generator, roles.get(suffix, ""), tuple(value.shape), fan_in)
            value.copy_(torch.from_numpy(values))
    start = {name: np.array(value.numpy()) for name, value in state.items()}
    result = {f"weights:{name}": value for name, value in start.items()}
    for side in sides:
        images, labels = draw_images(side)
        inputs = torch.from_numpy(images).permute(0, 3, 1, 2)
        model.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in start.items()})
        with torch.no_grad():
            logits = model.eval()(inputs).numpy()
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model.train()(inputs), torch.from_numpy(labels))
        loss.backward()
        found = {name: value.grad for name, value in model.named_parameters()}
        # A token for masked patches has none.
        gradients = {name: value.numpy() for name, value in found.items() if value is not None}
        result |= collect(side, images, labels, logits, float(loss.detach()), gradients)
    return result


def build_torch(build: str, side: int) -> Any:
    from torch import nn
    from torchvision import models

    if build.startswith("convnext"):
        return build_convnext(build)
    if build.startswith("timm ") and "efficientnet" in build:
        import timm

        return timm.create_model(build.partition(" ")[2], num_classes=CLASSES)
    if " " in build:
        return build_transformer(build)
    if build in ("vgg16", "vgg16_bn"):
        # An eighth of every width, and no pooling to 7x7, which changes nothing at 224 only.
        plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
        narrow = [item if item == "M" else item // 8 for item in [*plan, "M"]]
        features = models.vgg.make_layers(narrow, batch_norm=build == "vgg16_bn")
        model = models.vgg.VGG(features, num_classes=CLASSES, init_weights=False, dropout=0.0)
        model.avgpool = nn.Identity()
        for index, (inputs, units) in enumerate(((64 * (side // 32) ** 2, 512), (512, 512))):
            model.classifier[3 * index] = nn.Linear(inputs, units)
        model.classifier[6] = nn.Linear(512, CLASSES)
        return model
    if build.startswith("mobilenet_v3"):
        return getattr(models, build)(num_classes=CLASSES, dropout=0.0)
    if build == "densenet":
        blocks = {"growth_rate": 6, "block_config": (2, 3, 1, 2), "num_init_features": 8}
        return models.DenseNet(**blocks, num_classes=CLASSES)
    if build == "vgg16_stock":
        return models.vgg16(num_classes=CLASSES, dropout=0.0)
    if build == "efficientnet_b0":
        return models.efficientnet_b0(num_classes=CLASSES, dropout=0.0, stochastic_depth_prob=0.0)
    model = models.mobilenet_v2(num_classes=CLASSES, dropout=0.0)
    if build == "mobilenet_v2_as_keras":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.padding = (0, 0)
                module.register_forward_pre_hook(pad_as_keras)
    return model


def pad_as_keras(module: Any, inputs: Any) -> Any:
    """3x3 at stride 2: one pixel right and below where the side is even, all round where odd."""
    from torch.nn.functional import pad

    before = inputs[0].shape[-1] % 2
    return pad(inputs[0], (before, 1, before, 1))


def run_tf(build: str, sides: list[int]) -> Arrays:
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float64")
    result: Arrays = {}
    for side in sides:
        images, labels = draw_images(side)
        model = find_keras(build)(
            weights=None,
            classes=CLASSES,
            classifier_activation=None,
            input_shape=(side, side, 3),
        )
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0
        generator = np.random.default_rng(1)
        for variable in model.weights:
            if "normalization" in variable.path.split("/")[0]:
                continue
            suffix = variable.path.rpartition("/")[2]
            role = {"gamma": "gamma", "moving_variance": "variance", "kernel": "kernel"}
            is_depthwise = variable.shape[-1] == 1 and len(variable.shape) == 4
            fan_in = int(np.prod(variable.shape[: 2 if is_depthwise else -1]))
            variable.assign(
                draw_value(generator, role.get(suffix, ""), tuple(variable.shape), fan_in)
            )
        result |= {f"weights:{last_names(v.path)}": np.asarray(v) for v in model.weights}
        # Keras' EfficientNet divides by 255 itself, with a constant that it keeps in float32.
        scale = 1 / float(np.float32(1 / 255)) if build.startswith("Efficient") else 1
        inputs = tf.constant(images * scale)
        logits = np.asarray(model(inputs, training=False))
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
            )
        paths = [last_names(variable.path) for variable in model.trainable_weights]
        values = tape.gradient(loss, [variable.value for variable in model.trainable_weights])
        gradients = {path: np.asarray(v) for path, v in zip(paths, values, strict=True)}
        result |= collect(side, images, labels, logits, float(loss), gradients)
    return result


def last_names(path: str) -> str:
    """The names of layer and variable, without those of the models around them.

    Keras numbers variables without a name of their own through the whole process.
    """
    layer, variable = path.split("/")[-2:]
    return f"{layer}/{NUMBERED.sub('variable', variable)}"


def collect(
    side: int,
    images: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    loss: float,
    gradients: Arrays,
) -> Arrays:
    named = {f"{side}/gradients:{name}": value for name, value in gradients.items()}
    plain = {"images": images, "labels": labels, "logits": logits, "loss": np.asarray(loss)}
    return named | {f"{side}/{name}": value for name, value in plain.items()}


def main(framework: str, output: str, *jobs: str) -> None:
    run = run_tf if framework == "tf" else run_torch
    for job in jobs:
        build, _, sides = job.partition(":")
        result = run(build, [int(side) for side in sides.split(",")])
        np.savez(Path(output) / f"{build}.npz", **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
