"""Step time of LightLayers, compared with their published form in stock layers and with Conv2D.

    python benchmarks/light_layer_step.py --backend tf
    python benchmarks/light_layer_step.py --backend torch

The study's residual net, two classes, Adam, L2 on the light kernels. `stock` is the same net as a
user of the framework would write it: the published layer as two of the framework's own
convolutions, its own batch norm, optimiser and training step; in PyTorch once per memory layout.
All variants take the same images, one step each in turn, in one process; ratios are medians over
rounds of the ratio within a round. The exit code is 1 if LightLayers is slower than a stock
variant.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED_RATIO = 1.0
WIDTHS = (8, 16, 32)
KERNEL_L2 = 1e-4
Step = Callable[[], None]


def main() -> int:
    """Print the median step of each variant and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    shape = (arguments.batch_size, arguments.size, arguments.size, 3)
    images = generator.uniform(size=shape).astype(np.float32)
    labels = generator.integers(0, 2, arguments.batch_size)
    stock = {"tf": keras_steps, "torch": torch_steps}[arguments.backend]
    steps = {
        "LightLayers": own_step(arguments.backend, {"k": arguments.k}, images, labels),
        "Conv2D": own_step(arguments.backend, {"layer": "conv2d"}, images, labels),
        **stock(arguments.k, images, labels),
    }
    return report(arguments.backend, measure(steps, arguments.rounds))


def measure(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each variant in each round, after two rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number > 1:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(backend: str, seconds: dict[str, list[float]]) -> int:
    """Print a line per variant, with LightLayers' ratio to it; return 1 on a broken promise."""
    own, broken = seconds["LightLayers"], False
    for name, values in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, values, strict=True))
        broken |= name.startswith("stock") and ratio > PROMISED_RATIO
        print(
            f"{backend} {name:20} {statistics.median(values) * 1e3:8.1f} ms per step, fastest "
            f"{min(values) * 1e3:8.1f}; LightLayers / this {ratio:.2f}"
        )
    print(f"promised: at most {PROMISED_RATIO} of each stock variant")
    return int(broken)


def own_step(backend: str, options: dict[str, Any], images: Any, labels: Any) -> Step:
    """Return a step of the project's trainer, for images (N, H, W, C) and labels (N,)."""
    run = RunSpec.parse(
        {
            "backend": backend,
            "model": {"name": "lightnet_residual", "options": options},
            "input_shape": images.shape[1:],
            "num_classes": 2,
        },
        "",
    )
    implementation = load(backend)
    implementation.prepare(run)
    trainer = implementation.Trainer(resolve_networks(run), starting_weights(resolve_networks(run)))

    def step() -> None:
        trainer.step(images, labels, 1e-3, {})
        trainer.wait()

    return step


def keras_steps(k: int, images: Any, labels: Any) -> dict[str, Step]:
    """Return a traced training step of the same net in Keras' layers, images (N, H, W, C)."""
    import keras
    import tensorflow as tf
    from keras import layers

    def light(inputs: Any, filters: int, size: int) -> Any:
        decay = keras.regularizers.L2(KERNEL_L2)
        options = {"padding": "same", "kernel_regularizer": decay}
        middle = layers.Conv2D(k, size, activation="relu", **options)(inputs)
        return layers.Conv2D(filters, size, **options)(middle)

    entrance = values = keras.Input(images.shape[1:])
    for filters in WIDTHS:
        main = layers.BatchNormalization()(light(values, filters, 3))
        main = light(layers.ReLU()(main), filters, 3)
        shortcut = layers.BatchNormalization()(light(values, filters, 1))
        values = layers.Add()([layers.BatchNormalization()(main), shortcut])
        values = layers.MaxPooling2D(2)(layers.ReLU()(values))
    logits = layers.Dense(2)(layers.GlobalAveragePooling2D()(values))
    model = keras.Model(entrance, logits)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def update(batch: Any, expected: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(expected, model(batch, training=True)) + tf.add_n(model.losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def step() -> None:
        update(tf.constant(images), tf.constant(labels))
        tf.test.experimental.sync_devices()

    return {"stock": step}


def torch_steps(k: int, images: Any, labels: Any) -> dict[str, Step]:
    """Return a step per memory layout: PyTorch's default, and the one that its docs recommend."""
    import torch

    names = {"stock": torch.contiguous_format, "stock, channels last": torch.channels_last}
    return {name: torch_step(k, images, labels, layout) for name, layout in names.items()}


def torch_step(k: int, images: Any, labels: Any, layout: Any) -> Step:
    """Return an eager training step of the same net in PyTorch's layers, images (N, H, W, C)."""
    import torch
    from torch import nn

    class Light(nn.Sequential):
        def __init__(self, channels: int, filters: int, size: int) -> None:
            super().__init__(
                nn.Conv2d(channels, k, size, padding="same"),
                nn.ReLU(),
                nn.Conv2d(k, filters, size, padding="same"),
            )

    def norm(filters: int) -> nn.Module:
        return nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)

    class Block(nn.Module):
        def __init__(self, channels: int, filters: int) -> None:
            super().__init__()
            self.main = nn.Sequential(
                *(Light(channels, filters, 3), norm(filters), nn.ReLU()),
                *(Light(filters, filters, 3), norm(filters)),
            )
            self.shortcut = nn.Sequential(Light(channels, filters, 1), norm(filters))

        def forward(self, inputs: Any) -> Any:
            return nn.functional.max_pool2d(
                torch.relu(self.main(inputs) + self.shortcut(inputs)), 2
            )

    blocks = [Block(a, b) for a, b in zip((3, *WIDTHS), WIDTHS, strict=False)]
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 2))
    model.to(memory_format=layout)
    kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    chosen = {id(kernel) for kernel in kernels}
    others = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": kernels, "weight_decay": 2 * KERNEL_L2}, {"params": others}]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def step() -> None:
        loss = nn.functional.cross_entropy(model(batch), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
