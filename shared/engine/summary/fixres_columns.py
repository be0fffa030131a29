"""Further columns of a run with two resolutions: before, activations, latency."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.console.work_count import WorkCount
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.numerics.metrics import classification_metrics, wilson_interval
from poc.shared.engine.training.evaluation import evaluate
from poc.shared.engine.training.finished_training import FinishedTraining
from poc.shared.engine.training.supervision import Supervision
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.resolved import ResolvedRun

# The first calls compile and fill caches, and are not counted.
NUM_WARM, NUM_TIMED = 2, 10
# Embeddings of so many test images are described, from one forward pass.
NUM_IMAGES = 64


def count_trained(run: ResolvedRun) -> int:
    """Count the values of the network's own parameters that the last stage trains."""
    # Parameters outside the network, such as a regressor, are trained but not delivered.
    own = {parameter.name for parameter in run.network.parameters}
    trained = run.at_stage(run.stages[-1].name).trained_network.parameters
    return sum(p.size for p in trained if p.is_trainable and p.name in own)


def measure_phases(
    trained: FinishedTraining, supervision: Supervision, ids: Sequence[str]
) -> dict[str, Any]:
    """Return the columns of a run whose phases have sizes of their own; {} for any other run.

    `before_…`: metrics of the first phase's weights at the test size. `latency_seconds`: seconds of
    one image through the network. `activations`: statistics of the embeddings of test images, at
    both sizes.
    """
    run, test, stages = trained.run, trained.data.test, trained.run.stages
    if run.method.fine_tuning is None or len(stages) == 1 or test is None:
        return {}
    WorkCount(supervision.report, "measuring both phases")
    # The stage's file holds the network's parameters; the trainer needs all that it trains.
    trainer, folder = trained.trainer, supervision.folder
    after = trainer.weights()
    before = {**after, **read_arrays(folder.stage_end(stages[0].name))}
    trainer.load(before)
    logits, labels = evaluate(trainer, test)
    folder.write_predictions(logits, labels, ids, "predictions_before.npz")
    hits = int(right_answers(logits, labels).sum())
    low, high = wilson_interval(hits, len(labels))
    metrics = classification_metrics(logits, labels)
    row: dict[str, Any] = {f"before_test_{name}": value for name, value in metrics.items()}
    row |= {"before_test_accuracy_low": low, "before_test_accuracy_high": high}
    row["latency_seconds"] = measure_latency(trainer, test.image_shape)
    row["test_size"] = test.image_shape[0]
    # The middle row shows the shift that a change of size causes; the last one, how fine-tuning
    # corrects it (Touvron et al. 2019).
    row["activations"] = [
        describe_activations(trained, stages[0].name, "after the first phase", before),
        describe_activations(trained, stages[-1].name, "after the first phase", before),
        describe_activations(trained, stages[-1].name, "after the second phase", after),
    ]
    row["train_size"] = row["activations"][0]["size"]
    return row


def measure_latency(trainer: Trainer, shape: tuple[int, ...], num_images: int = 1) -> float:
    """Return median seconds per call for images (num_images, *shape), transfer included."""
    image = np.zeros((num_images, *shape), dtype=np.float32)
    seconds = []
    for _ in range(NUM_WARM + NUM_TIMED):
        started = time.perf_counter()
        trainer.logits(image)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[NUM_WARM:]))


def describe_activations(
    trained: FinishedTraining, stage: str, when: str, weights: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Return mean, deviation and share of zeros of the embeddings (N, F) of some test images."""
    run, data = trained.run.at_stage(stage), trained.data
    data.show(run.spec)
    if data.test is None:
        raise ValueError("Got a run without a test part. Expected test images.")
    values = embed(trained.backend, run, weights, first_images(data.test, NUM_IMAGES))
    return {"size": run.network.input_shape[0], "weights": when, **describe_values(values)}


def first_images(pipeline: Pipeline, num_images: int) -> NDArray[Any]:
    """Read a part's first images (N, H, W, C), at most `num_images`, and no batch behind them."""
    found, missing = [], num_images
    for batch in pipeline.epoch(0):
        found.append(batch.images[:missing])
        missing -= len(found[-1])
        if not missing:
            break
    return np.concatenate(found)


def embed(
    backend: Backend, run: ResolvedRun, weights: dict[str, NDArray[Any]], images: NDArray[Any]
) -> NDArray[np.floating]:
    """Return embeddings (N, F) of images (N, H, W, C)."""
    tap = run.network.embedding
    return backend.features(run, weights, images, [tap])[tap]


def describe_values(values: NDArray[np.floating]) -> dict[str, float]:
    """Return mean, standard deviation and share of exact zeros of embeddings (N, F)."""
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "zero_share": float((values == 0).mean()),
    }
