"""What a run of two resolutions is measured by, beside its row: before, activations, latency."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.console.work_count import WorkCount
from poc.shared.engine.numerics.metrics import classification_metrics, wilson_interval
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run import RunSpec

from .evaluation import evaluate
from .loop import TrainingLoop

NUM_WARM, NUM_TIMED = 2, 10
NUM_IMAGES = 64


def count_trained(run: RunSpec) -> int:
    """Values of the network's own parameters that the last stage trains."""
    own = {parameter.name for parameter in run.network.parameters}
    trained = run.at_stage(run.stages[-1].name).trained_network.parameters
    return sum(p.size for p in trained if p.is_trainable and p.name in own)


def measure_phases(loop: TrainingLoop, ids: Sequence[str]) -> dict[str, Any]:
    """Columns of a run whose phases have sizes of their own; empty for any other.

    `before_…`: the first phase's weights at the test's size. `latency_seconds`: one image through
    the network. `activations`: the embeddings of the test part, at both sizes.
    """
    fine_tuning, test = find_method(loop.spec.method).fine_tuning, loop.data.test
    stages = loop.spec.stages
    if fine_tuning is None or len(stages) == 1 or test is None:
        return {}
    WorkCount(loop.report, "measuring both phases")
    after = loop.trainer.weights()
    before = {**after, **read_arrays(loop.folder.stage_end(stages[0].name))}
    loop.trainer.load(before)
    logits, labels = evaluate(loop.trainer, test)
    loop.folder.write_predictions(logits, labels, ids, "predictions_before.npz")
    hits = int((logits.argmax(axis=1) == labels).sum())
    low, high = wilson_interval(hits, len(labels))
    metrics = classification_metrics(logits, labels)
    row: dict[str, Any] = {f"before_test_{name}": value for name, value in metrics.items()}
    row |= {"before_test_accuracy_low": low, "before_test_accuracy_high": high}
    row["latency_seconds"] = measure_latency(loop.trainer, test.image_shape)
    row["test_size"] = test.image_shape[0]
    row["activations"] = [
        describe_activations(loop, stages[0].name, "after the first phase", before),
        describe_activations(loop, stages[-1].name, "after the first phase", before),
        describe_activations(loop, stages[-1].name, "after the second phase", after),
    ]
    row["train_size"] = row["activations"][0]["size"]
    return row


def measure_latency(trainer: Trainer, shape: tuple[int, ...], num_images: int = 1) -> float:
    """Median seconds of some images through the network, the way to the device included."""
    image = np.zeros((num_images, *shape), dtype=np.float32)
    seconds = []
    for _ in range(NUM_WARM + NUM_TIMED):
        started = time.perf_counter()
        trainer.logits(image)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[NUM_WARM:]))


def describe_activations(
    loop: TrainingLoop, stage: str, when: str, weights: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Mean, deviation and share of zeros of the embeddings of some test images."""
    run = loop.spec.at_stage(stage)
    loop.data.show(run)
    if loop.data.test is None:
        raise ValueError("Received a run without a test part.")
    images = np.concatenate([batch.images for batch in loop.data.test.epoch(0)])[:NUM_IMAGES]
    values = embed(loop.backend, run, weights, images)
    return {"size": run.network.input_shape[0], "weights": when, **describe_values(values)}


def embed(
    backend: Backend, run: RunSpec, weights: dict[str, NDArray[Any]], images: NDArray[Any]
) -> NDArray[np.floating]:
    """Embeddings (N, F) of images (N, H, W, C)."""
    tap = run.network.embedding
    return backend.features(run, weights, images, [tap])[tap]


def describe_values(values: NDArray[np.floating]) -> dict[str, float]:
    """Mean, standard deviation and share of exact zeros of embeddings (N, F)."""
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "zero_share": float((values == 0).mean()),
    }
