"""Cost of an l2t-ww iteration in plain training steps of the same target, and its peak memory.

    python benchmarks/l2t_ww.py --backend torch --weights resnet32_tinyimagenet.safetensors
    python benchmarks/l2t_ww.py --backend tf --weights resnet32_tinyimagenet.safetensors

CIFAR ResNet-32 -> VGG9-BN, 32x32, 15 pairs, T = 2, exact, float32. Three steps take turns in one
process: a step of the same VGG9-BN from the framework's stock layers and stock SGD, a plain step of
this project's trainer, and a full iteration (with source forward, batch-norm bookkeeping and Adam).
Every process-wide setting (threads, the heap) is the same for all three. `--alone` runs only the
iteration, for its peak memory. The exit code is 1 if the ratio or the peak is above the promise.

The promise is about wall-clock time. The processor time of the process is printed too: a loaded
machine distorts it less.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.machine.peak_memory import own_peak_bytes
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED = {"torch": 11.0, "tf": 12.0}
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
PROMISED_PEAK_BYTES = 1.25 * 2.7e9  # PyTorch
RATE = 0.002


def main() -> int:
    """Print medians, ratios and the peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--weights", help="canonical file of the source; default: random")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--alone", action="store_true", help="the iteration alone, for its peak")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--json", type=Path, help="write the samples here")
    arguments = parser.parse_args()
    if arguments.alone:
        return measure_peak(arguments.backend, make_sides(arguments, ("l2t-ww",))["l2t-ww"])
    sides = make_sides(arguments, ("stock", "own", "l2t-ww"))
    samples = measure(sides, arguments.rounds)
    for name, values in samples.items():
        wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:10s} {wall:8.3f} s, processor {processor:8.3f} s (n = {arguments.rounds})")
    ratio, own = (median_ratio(samples, "l2t-ww", unit, 0) for unit in ("stock", "own"))
    processor, own_processor = (
        median_ratio(samples, "l2t-ww", unit, 1) for unit in ("stock", "own")
    )
    peak = own_peak_bytes()
    print(
        f"{arguments.backend}: one iteration = {ratio:.2f} stock steps (median of pairs; promised "
        f"{PROMISED[arguments.backend]:.0f}), {own:.2f} own steps; in processor time "
        f"{processor:.2f} and {own_processor:.2f}; peak {peak / 1e9:.2f} GB; load "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    if arguments.json:
        ratios = {"ratio": ratio, "own_ratio": own, "processor_ratio": processor}
        row = {**vars(arguments), "samples": samples, **ratios, "peak_memory_bytes": peak}
        arguments.json.write_text(json.dumps(row, default=str, indent=1), encoding="utf-8")
    return int(ratio > PROMISED[arguments.backend])


def measure_peak(backend: str, iterate: Callable[[], None]) -> int:
    """Print the peak memory of a process that only runs iterations; return 1 if it is too high."""
    for _ in range(3):
        iterate()
    peak = own_peak_bytes()
    print(f"{backend}: peak of the iteration alone {peak / 1e9:.2f} GB")
    return int(backend == "torch" and peak > PROMISED_PEAK_BYTES)


def make_sides(
    arguments: argparse.Namespace, names: Sequence[str]
) -> dict[str, Callable[[], None]]:
    """Return a step per name; it is finished when it returns."""
    run = load_run(
        method="l2t-ww",
        backend=arguments.backend,
        assignments=arguments.assignments,
        deterministic=False,
        input_shape=(32, 32, 3),
        num_classes=arguments.classes,
        model={"name": "vgg9_bn"},
        teacher={
            "model": {"name": "resnet32_cifar"},
            "weights": arguments.weights,
            "num_classes": 200,
        },
    )
    plain = RunSpec.parse(
        {
            **run.model_dump(mode="json"),
            "method": "scratch",
            "method_options": {},
            "teacher": None,
        },
        "",
    )
    generator = np.random.default_rng(0)
    images = generator.normal(size=(arguments.batch_size, 32, 32, 3)).astype(np.float32)
    labels = generator.integers(0, arguments.classes, arguments.batch_size)
    backend = load(arguments.backend)
    backend.prepare(run)
    weights = starting_weights(resolve_networks(run))
    stock = {"tf": stock_keras_step, "torch": stock_torch_step}[arguments.backend]

    def make_trainer(spec):
        return backend.Trainer(resolve_networks(spec), weights)

    makers = {
        "stock": lambda: stock(images, labels, arguments.classes),
        "own": lambda: trainer_step(make_trainer(plain), images, labels),
        "l2t-ww": lambda: trainer_step(make_trainer(run), images, labels),
    }
    return {name: makers[name]() for name in names}


def trainer_step(trainer, images, labels) -> Callable[[], None]:
    """Return a step of this project's trainer, for images (N, H, W, C) and labels (N,)."""

    def step() -> None:
        trainer.step(images, labels, RATE, {})
        trainer.metrics()

    return step


def stock_torch_step(images, labels, num_classes: int) -> Callable[[], None]:
    """Return a step of PyTorch's own layers and optimiser, for images (N, H, W, C)."""
    import torch
    from torch import nn

    layers, channels = [], 3
    for stage in STAGES:
        for filters in stage:
            conv = nn.Conv2d(channels, filters, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    targets = torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def stock_keras_step(images, labels, num_classes: int) -> Callable[[], None]:
    """Return a step of Keras' own layers, optimiser and compiled training function."""
    import keras

    layers = [keras.layers.Input((32, 32, 3))]
    for stage in STAGES:
        for filters in stage:
            layers.append(keras.layers.Conv2D(filters, 3, padding="same"))
            layers += [keras.layers.BatchNormalization(), keras.layers.ReLU()]
        layers.append(keras.layers.MaxPooling2D())
    head = keras.layers.Dense(num_classes)
    model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), head])
    optimizer = keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=1e-4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=False)

    def step() -> None:
        model.train_on_batch(images, labels)

    return step


def measure(
    sides: dict[str, Callable[[], None]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Time the sides in turns: (wall-clock, processor) seconds, after two calls of warm-up."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for index in range(rounds + 2):
        for name, step in sides.items():
            started, used = time.perf_counter(), time.process_time()
            step()
            if index > 1:
                seconds = time.perf_counter() - started, time.process_time() - used
                samples[name].append(seconds)
    return samples


def median_ratio(
    samples: dict[str, list[tuple[float, float]]], above: str, below: str, clock: int
) -> float:
    """Return the median over the rounds of one side's seconds divided by the other's."""
    pairs = zip(samples[above], samples[below], strict=True)
    return statistics.median(a[clock] / b[clock] for a, b in pairs)


if __name__ == "__main__":
    sys.exit(main())
