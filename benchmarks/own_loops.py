"""Test accuracy of `poc run`, and of the framework's own training with the same recipe.

    python benchmarks/own_loops.py --seeds 5 --folder runs/own_loops

The framework's own training is a plain loop in PyTorch and `fit` in Keras, on `poc.build_model` of
the same seed. Both see the same images of the embedded set, and judge the last epoch on the same
test part. The order of the batches differs, so equal figures are not to be expected: the question
is if one of the two is better.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import poc
from poc.shared.data.sources.arrays import open_embedded
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.spec.run import Backend

EPOCHS, BATCH_SIZE, RATE = 15, 32, 0.003
MODEL: dict[str, Any] = {"layer": "conv2d", "widths": [16, 32]}
SETTINGS = {
    "model.layer": "conv2d",
    "model.widths": [16, 32],
    "optimizer.name": "adam",
    "optimizer.learning_rate": RATE,
    "schedule.name": "cosine",
    "data.batch_size": BATCH_SIZE,
    # More than there are: the last epoch counts.
    "early_stopping.min_validation_images": 10**6,
}
Part = tuple[NDArray[np.float32], NDArray[np.int64]]


def main() -> None:
    """Train every seed in both frameworks, and print the accuracies and their differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--one", nargs=2, metavar=("BACKEND", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        backend, seed = arguments.one
        print(json.dumps(train_both(cast("Backend", backend), int(seed), arguments.folder)))
        return
    for backend in ("tf", "torch"):
        rows = []
        for seed in range(arguments.seeds):
            # A process each: the seed of a framework holds for all of its process.
            command = [sys.executable, __file__, "--folder", str(arguments.folder)]
            command += ["--one", backend, str(seed)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append(json.loads(printed.splitlines()[-1]))
            print(backend, seed, rows[-1])
        gains = [row["own"] - row["poc"] for row in rows]
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        print(f"{backend}: own less poc {statistics.mean(gains):+.4f}, standard error {error:.4f}")


def train_both(backend: Backend, seed: int, folder: Path) -> dict[str, float]:
    """Return the test accuracy of a run, and that of the framework's own training."""
    output = folder / f"{backend}-{seed}"
    run = poc.run(
        method="scratch",
        backend=backend,
        model="lightnet_plain",
        epochs=EPOCHS,
        seed=seed,
        output=str(output),
        settings=SETTINGS,
    )
    train, test = read_parts(output)
    model = poc.build_model(
        "lightnet_plain",
        backend=backend,
        input_shape=train[0].shape[1:],
        num_classes=10,
        seed=seed,
        **MODEL,
    )
    own = (fit if backend == "tf" else loop)(model, train, test, seed)
    return {"poc": float(run.row["test_accuracy"]), "own": own}


def read_parts(folder: Path) -> tuple[Part, Part]:
    """Return the train and the test part of a run: images (N, H, W, C) from 0 to 1, labels (N,)."""
    source = open_embedded("embedded")
    stored = np.load(folder / "split.npz")
    parts = RecordedParts(stored["ids"], stored["contents"], stored["members"]).place(source)
    train, test = (
        ((source.images(at) / 255).astype(np.float32), source.labels[at])
        for at in (parts["train"], parts["test"])
    )
    return train, test


def fit(model: Any, train: Part, test: Part, seed: int) -> float:
    """Train with `fit`, and return the test accuracy."""
    import keras

    keras.utils.set_random_seed(seed)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * count_batches(train))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(*train, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
    return float(model.evaluate(*test, verbose=0)[1])


def loop(model: Any, train: Part, test: Part, seed: int) -> float:
    """Train with a plain loop, and return the test accuracy."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    (images, labels), (test_images, test_labels) = (
        (torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y)) for x, y in (train, test)
    )
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    steps = EPOCHS * count_batches(train)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return float((model(test_images).argmax(1) == test_labels).float().mean())


def count_batches(part: Part) -> int:
    """Count the batches of an epoch."""
    return math.ceil(len(part[0]) / BATCH_SIZE)


if __name__ == "__main__":
    main()
