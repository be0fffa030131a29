"""The row that a finished run leaves: what was trained, how well and in what time."""

import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.machine.environment import count_threads
from poc.shared.engine.machine.load import watched_share
from poc.shared.engine.numerics.metrics import classification_metrics, wilson_interval

from .epoch_line import RATES
from .fixres_columns import count_trained, measure_phases
from .loop import TrainingLoop


def finish(loop: TrainingLoop, import_seconds: float) -> dict[str, Any]:
    """Evaluate the best weights on the test part, and write the row and the predictions."""
    lines = loop.folder.read_metrics()
    best = next(line for line in lines if line["epoch"] == loop.state.best_epoch)
    row = describe_run(loop)
    row |= {f"best_{key.replace('/', '_')}": best[key] for key in best if key.startswith("val/")}
    if loop.data.test is not None:
        row |= judge_test(loop, loop.data.test)
    steady = lines[1:] or lines
    loop.load.add_to(loop.state.seconds)
    return row | {
        "train_loss": lines[-1]["train/loss"],
        "num_epochs": loop.state.epoch,
        "best_epoch": loop.state.best_epoch,
        "epoch_choice": loop.spec.early_stopping.metric if loop.chooses_epoch else "last",
        "import_seconds": import_seconds,
        "build_seconds": loop.state.seconds["build"],
        "first_step_seconds": loop.state.seconds["first_step"],
        "epoch_seconds": median(steady, "epoch_seconds"),
        "eval_seconds": median(steady, "eval_seconds"),
        "total_seconds": loop.total_seconds,
        **{name: median(steady, name) for name in RATES if any(name in line for line in steady)},
        "other_processor_share": watched_share(loop.state.seconds),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "folder": str(loop.folder.path),
    }


def median(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    """Of the epochs that have the value."""
    return float(np.median([line[name] for line in lines if name in line]))


def judge_test(loop: TrainingLoop, test: Pipeline) -> dict[str, Any]:
    """Columns of the test part, under the best weights; its predictions are written."""
    loop.trainer.load(loop.best_weights())
    kept = loop.steps.keep_part(test, loop.trainer.weights())
    logits, labels = loop.evaluate(test, kept)
    metrics = classification_metrics(logits, labels)
    hits = int((logits.argmax(axis=1) == labels).sum())
    low, high = wilson_interval(hits, len(labels))
    ids = [loop.data.source.ids[index] for index in loop.data.split.test]
    loop.folder.write_predictions(logits, labels, ids)
    return {
        **{f"test_{name}": value for name, value in metrics.items()},
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        **measure_phases(loop, ids),
    }


def describe_run(loop: TrainingLoop) -> dict[str, Any]:
    """The columns that say what was trained."""
    spec, network = loop.spec, loop.spec.network
    total = sum(parameter.size for parameter in network.parameters)
    first_stage = spec.at_stage(spec.stages[0].name).trained_network
    beside = sum(parameter.size for parameter in first_stage.parameters) - total
    return {
        "method": spec.method,
        "model": spec.model_spec.name,
        "options": dict(spec.model_spec.options) | dict(spec.method_options),
        "backend": spec.backend,
        "seed": spec.seed,
        "threads": count_threads(loop.folder.read_run()),
        "total_parameters": total,
        "trainable_parameters": count_trained(spec),
        "weight_bytes": 4 * total,
        "macs": network.macs,
        **({"parameters_beside": beside} if beside else {}),
    }
