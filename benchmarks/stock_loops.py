"""Speed of a training epoch, compared with the loop that a user of the framework would write.

    python benchmarks/stock_loops.py --backend tf
    python benchmarks/stock_loops.py --backend torch

The same model, images and batch size are trained in the same process, epoch by epoch in turn: by
this project's loop (pipeline, noise, schedule and metrics included) and by `keras.Model.fit` on
arrays with Keras' own Adam and loss, or by the plain PyTorch loop over shuffled tensors with
`torch.optim.Adam`. The stock side trains the network as `poc.build_model` returns it, whose dropout
draws from the framework's own stream. The exit code is 1 if this project reaches less than the
promised share of the stock side's images per second.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from poc.shared.api.models import build_native
from poc.shared.engine.backend import load
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.training.loop import TrainingLoop
from poc.shared.engine.training.supervision import Supervision
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import initial_weights

PROMISED_SHARE = 0.95
MODEL = ("model.name=googlenet", "method=scratch", "data.batch_size=128", "data.drop_last=true")


def main() -> int:
    """Print the images per second of both sides and the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    resolved, data = resolve(
        load_run(
            backend=arguments.backend,
            assignments=[
                *MODEL,
                f"data.source={arguments.data}",
                *arguments.assignments,
                f"num_epochs={arguments.rounds + 1}",
            ],
        )
    )
    backend = load(arguments.backend)
    run = resolved.spec
    backend.prepare(run)
    batches = list(data.train.epoch(0))
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    stock = STOCK[arguments.backend](run, images, labels)
    pairs = []

    def take_turn(event: Mapping[str, Any]) -> None:
        """Time an epoch of the framework's own loop after each of this project's."""
        if event["event"] == "epoch":
            started = time.perf_counter()
            stock()
            pairs.append((time.perf_counter() - started, event["train_seconds"]))

    folder = RunFolder.create(tempfile.mkdtemp() + "/run")
    TrainingLoop(resolved, backend, data, Supervision(folder=folder, report=take_turn)).run()
    # The first epoch of both sides is a warm-up.
    del pairs[0]
    share = statistics.median(stock_seconds / own for stock_seconds, own in pairs)
    rates = [len(labels) / statistics.median(column) for column in zip(*pairs, strict=True)]
    print(
        f"{arguments.backend}: {run.model_spec.name}, batch {run.data.batch_size}: stock "
        f"{rates[0]:,.0f} images/s, this project {rates[1]:,.0f}; share {share:.3f} (median of "
        f"{arguments.rounds} pairs of {len(batches)} steps), promised {PROMISED_SHARE}"
    )
    return int(share < PROMISED_SHARE)


def keras_fit(run: RunSpec, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """Return one epoch of `keras.Model.fit` on images (N, H, W, C) and labels (N,)."""
    import keras

    model = build_native(run, initial_weights(resolve_networks(run)), "tf")
    model.compile(
        optimizer=keras.optimizers.Adam(run.optimizer.learning_rate, epsilon=1e-8),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return lambda: model.fit(images, labels, batch_size=run.data.batch_size, verbose=0)


def torch_loop(run: RunSpec, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """Return one epoch of the loop in PyTorch's tutorials, on tensors made beforehand.

    Args:
        run: The run that this project trains.
        images: (N, H, W, C) float32.
        labels: (N,) int64.
    """
    import torch

    model = build_native(run, initial_weights(resolve_networks(run)), "torch")
    optimizer = torch.optim.Adam(model.parameters(), lr=run.optimizer.learning_rate)
    inputs = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    targets = torch.from_numpy(labels)

    def epoch() -> None:
        correct = 0.0
        for indices in torch.randperm(len(targets)).split(run.data.batch_size):
            optimizer.zero_grad()
            logits = model(inputs[indices])
            loss = torch.nn.functional.cross_entropy(logits, targets[indices])
            loss.backward()
            optimizer.step()
            correct += float((logits.argmax(1) == targets[indices]).sum())

    return epoch


STOCK = {"tf": keras_fit, "torch": torch_loop}

if __name__ == "__main__":
    sys.exit(main())
