"""Cost of an option of the training, compared with the framework's own way of doing the same.

    python benchmarks/recipe_options.py --backend tf
    python benchmarks/recipe_options.py --backend torch --rounds 60

Each row is an option: its settings here, and what a user of the framework would write. Four steps
take turns in one process, on the same network and batch: this project's without and with the
option, the framework's optimiser and loss without and with theirs. The cost of an option is its
step over the step without it, within a round. The exit code is 1 if this project's costs more than
the promised share above the framework's. A new option joins with its row of `OPTIONS` and with its
lines in `STOCK`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.teacher import starting_weights, step_coefficients
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED_RATIO = 1.03
CLASSES = 10
WEIGHTS = [0.5, 3.0, *[1.0] * (CLASSES - 2)]
# Option -> the settings that switch it on.
OPTIONS: Mapping[str, dict[str, Any]] = {
    "weights and smoothing": {"loss": {"class_weights": WEIGHTS, "label_smoothing": 0.1}},
    "smoothing": {"loss": {"label_smoothing": 0.1}},
    "weights": {"loss": {"class_weights": WEIGHTS}},
    "focal": {"loss": {"name": "focal"}},
}
PLAIN = "none"
Step = Callable[[], None]
Loss = Callable[[Any, Any], Any]


def main() -> int:
    """Print milliseconds per step and the ratios of each option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--option", choices=OPTIONS, action="append")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    images = generator.normal(size=(arguments.batch_size, 28, 28, 1)).astype(np.float32)
    labels = generator.integers(0, CLASSES, arguments.batch_size)
    names = arguments.option or list(OPTIONS)
    sides = make_sides(arguments.backend, names, images, labels)
    return report(arguments.backend, names, measure(sides, arguments.rounds))


def make_sides(backend: str, names: list[str], images: Any, labels: Any) -> dict[str, Step]:
    """Return this project's and the stock step of every option, and of none."""
    stock = {"tf": keras_step, "torch": torch_step}[backend]
    sides = {}
    for name in (PLAIN, *names):
        run = make_run(backend, OPTIONS.get(name, {}))
        sides[f"own {name}"] = own_step(run, images, labels)
        sides[f"stock {name}"] = stock(run, name, images, labels)
    return sides


def make_run(backend: str, settings: dict[str, Any]) -> RunSpec:
    """Return the run of a small network with these settings."""
    options = {"layer": "conv2d", "widths": [32, 64, 128]}
    values = {
        "backend": backend,
        "method": "scratch",
        "model": {"name": "lightnet_plain", "options": options},
        "input_shape": [28, 28, 1],
        "num_classes": CLASSES,
    }
    return RunSpec.parse({**values, **settings}, "")


def own_step(run: RunSpec, images: Any, labels: Any) -> Step:
    """Return a step of the project's trainer, for images (N, H, W, C) and labels (N,)."""
    module, resolved = load(run.backend), resolve_networks(run)
    module.prepare(run)
    trainer = module.Trainer(resolved, starting_weights(resolved))
    noise = draw_noise(resolved.trained_network, seed=0, step=0, batch_size=len(labels))

    def step() -> None:
        trainer.step(images, labels, 1e-3, noise, step_coefficients(resolved, 0.0, labels))
        trainer.wait()

    return step


def torch_step(run: RunSpec, name: str, images: Any, labels: Any) -> Step:
    """Return the step of a plain PyTorch loop on the same network, images (N, H, W, C)."""
    import torch

    from poc.torch_impl.models import Model
    from poc.torch_impl.weights import load_weights

    resolved = resolve_networks(run)
    model, loss_of = Model(resolved.network), torch_loss(name)
    load_weights(model, starting_weights(resolved))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        batch, targets = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
        optimizer.zero_grad()
        loss_of(model(batch, training=True), targets).backward()
        optimizer.step()

    return step


def torch_loss(name: str) -> Loss:
    """Return PyTorch's own loss () of logits (N, C) and labels (N,)."""
    from torch import nn, tensor

    if name == "focal":
        # Of another formula, one sigmoid per class, and the only one there is.
        from torchvision.ops import sigmoid_focal_loss

        return lambda logits, labels: sigmoid_focal_loss(
            logits, nn.functional.one_hot(labels, CLASSES).to(logits.dtype), reduction="mean"
        )
    return nn.CrossEntropyLoss(
        weight=tensor(WEIGHTS) if "weights" in name else None,
        label_smoothing=0.1 if "smoothing" in name else 0.0,
    )


def keras_step(run: RunSpec, name: str, images: Any, labels: Any) -> Step:
    """Return a traced step with Keras' optimiser and loss on the same network."""
    import keras
    import tensorflow as tf

    from poc.tf_impl.models import Model
    from poc.tf_impl.weights import load_weights

    resolved = resolve_networks(run)
    model, loss_of = Model(resolved.network), keras_loss(name)
    load_weights(model, starting_weights(resolved))
    variables = model.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(batch: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(model(batch, training=True), targets)
        values = [variable.value for variable in variables]
        optimizer.apply(tape.gradient(loss, values), variables)

    def step() -> None:
        update(tf.constant(images), tf.constant(labels))
        tf.test.experimental.sync_devices()

    return step


def keras_loss(name: str) -> Loss:
    """Return Keras' own loss () of logits (N, C) and labels (N,), with weights per example."""
    import tensorflow as tf
    from keras import losses

    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)
    smooth = losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1 if "smoothing" in name else 0.0
    )
    focal = losses.CategoricalFocalCrossentropy(from_logits=True)
    weights = tf.constant(WEIGHTS, tf.float32)

    def loss_of(logits: Any, labels: Any) -> Any:
        counts = tf.gather(weights, labels) if "weights" in name else None
        if name == "focal" or "smoothing" in name:
            one_hot = tf.one_hot(labels, CLASSES)
            return (focal if name == "focal" else smooth)(one_hot, logits, sample_weight=counts)
        return sparse(labels, logits, sample_weight=counts)

    return loss_of


def measure(sides: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side in each round, after three rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 3):
        # In turns forwards and backwards, so that no side always follows the same one.
        for name in list(sides)[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            sides[name]()
            if number >= 3:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(backend: str, names: list[str], seconds: Mapping[str, list[float]]) -> int:
    """Print one line per option; return 1 if one costs more than promised."""
    is_broken = False
    for name in names:
        own, stock = (
            [
                a / b
                for a, b in zip(seconds[f"{side} {name}"], seconds[f"{side} {PLAIN}"], strict=True)
            ]
            for side in ("own", "stock")
        )
        ratio = statistics.median(a / b for a, b in zip(own, stock, strict=True))
        is_broken |= ratio > PROMISED_RATIO
        whole = statistics.median(
            a / b for a, b in zip(seconds[f"own {name}"], seconds[f"stock {name}"], strict=True)
        )
        print(
            f"{backend} {name:24} {1e3 * statistics.median(seconds[f'own {name}']):7.2f} ms per "
            f"step, stock {1e3 * statistics.median(seconds[f'stock {name}']):7.2f}; whole step "
            f"{whole:.3f} of stock; costs {statistics.median(own):.3f} of a plain step, stock "
            f"{statistics.median(stock):.3f}; ratio {ratio:.3f}"
        )
    print(f"promised: a ratio of at most {PROMISED_RATIO}")
    return int(is_broken)


if __name__ == "__main__":
    sys.exit(main())
