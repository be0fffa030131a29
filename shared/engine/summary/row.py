"""The row of a finished run: its settings, its metrics and its times."""

import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.machine.environment import count_threads
from poc.shared.engine.machine.load import watched_share
from poc.shared.engine.numerics.metrics import classification_metrics, wilson_interval
from poc.shared.engine.training.epoch_line import RATES
from poc.shared.engine.training.evaluation import evaluate_watched
from poc.shared.engine.training.finished_training import FinishedTraining
from poc.shared.engine.training.judged_weights import describe_judged
from poc.shared.engine.training.supervision import Supervision
from poc.shared.spec.resolved import ResolvedRun

from .fixres_columns import count_trained, measure_phases


def finish(
    trained: FinishedTraining, supervision: Supervision, import_seconds: float
) -> dict[str, Any]:
    """Evaluate the best weights on the test part, write the predictions, and return the row."""
    lines, state = supervision.folder.read_metrics(), trained.state
    best = next(line for line in lines if line["epoch"] == state.best_epoch)
    row = describe_run(trained.run, threads=count_threads(supervision.folder.read_run()))
    row |= {f"best_{key.replace('/', '_')}": best[key] for key in best if key.startswith("val/")}
    if trained.data.test is not None:
        row |= judge_test(trained, supervision, trained.data.test)
    # Settled last, so that the share of other programs covers the evaluation too.
    trained.clock.settle_load(state.seconds)
    return row | {
        "train_loss": lines[-1]["train/loss"],
        "num_epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "epoch_choice": trained.epoch_choice,
        **describe_judged(trained.run.spec),
        "import_seconds": import_seconds,
        **describe_times(lines, trained),
        "other_processor_share": watched_share(state.seconds),
        # Linux counts the peak in kB.
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "folder": str(supervision.folder.path),
    }


def describe_times(
    lines: Sequence[Mapping[str, Any]], trained: FinishedTraining
) -> dict[str, float]:
    """Return seconds and rates of the run; medians leave out the first epoch, which compiles."""
    # A run of one epoch has nothing else to report than that epoch.
    steady, seconds = lines[1:] or lines, trained.state.seconds
    return {
        "build_seconds": seconds["build"],
        "first_step_seconds": seconds["first_step"],
        "epoch_seconds": median(steady, "epoch_seconds"),
        "eval_seconds": median(steady, "eval_seconds"),
        "total_seconds": trained.clock.total_seconds(seconds),
        **{name: median(steady, name) for name in RATES if any(name in line for line in steady)},
    }


def median(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the median over the epochs that have the value."""
    return float(np.median([line[name] for line in lines if name in line]))


def judge_test(
    trained: FinishedTraining, supervision: Supervision, test: Pipeline
) -> dict[str, Any]:
    """Return the columns of the test part under the best weights, and write its predictions."""
    trained.trainer.load(trained.weights)
    kept = trained.steps.keep_part(test, trained.trainer.weights())
    logits, labels = evaluate_watched(supervision, trained.trainer, test, kept)
    metrics = classification_metrics(logits, labels)
    hits = int((logits.argmax(axis=1) == labels).sum())
    low, high = wilson_interval(hits, len(labels))
    ids = [trained.data.source.ids[index] for index in trained.data.split.test]
    supervision.folder.write_predictions(logits, labels, ids)
    return {
        **{f"test_{name}": value for name, value in metrics.items()},
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        **measure_phases(trained, supervision, ids),
    }


def describe_run(run: ResolvedRun, *, threads: Any) -> dict[str, Any]:
    """Return the columns that describe the trained network and its settings."""
    spec, network = run.spec, run.network
    total = sum(parameter.size for parameter in network.parameters)
    # Parameters of the method that train the network and are not delivered with it.
    first_stage = run.at_stage(run.stages[0].name).trained_network
    extra = sum(parameter.size for parameter in first_stage.parameters) - total
    return {
        "method": spec.method,
        "model": spec.model_spec.name,
        "options": dict(spec.model_spec.options) | dict(spec.method_options),
        "backend": spec.backend,
        "seed": spec.seed,
        "threads": threads,
        "total_parameters": total,
        "trainable_parameters": count_trained(run),
        # Four bytes per parameter: float32, whatever precision the run computed in.
        "weight_bytes": 4 * total,
        "macs": network.macs,
        **({"parameters_beside": extra} if extra else {}),
    }
