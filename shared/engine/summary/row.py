"""The row of a finished run: its settings, its metrics and its times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.folder.decision import digest_checkpoint
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS
from poc.shared.engine.machine.environment import count_threads
from poc.shared.engine.machine.load import watched_share
from poc.shared.engine.machine.peak_memory import own_peak_bytes
from poc.shared.engine.numerics.answers import right_answers
from poc.shared.engine.numerics.metrics import classification_metrics, wilson_interval
from poc.shared.engine.training.epoch_line import RATES
from poc.shared.engine.training.evaluation import evaluate_watched
from poc.shared.engine.training.finished_training import FinishedTraining
from poc.shared.engine.training.heads.record import describe_head_fit
from poc.shared.engine.training.judged_weights import describe_judged
from poc.shared.engine.training.supervision import Supervision
from poc.shared.spec.networks.layers.lora import is_term
from poc.shared.spec.resolved import ResolvedRun

from .answer_columns import describe_answers
from .fixres_columns import count_trained, measure_phases


def finish(
    trained: FinishedTraining, supervision: Supervision, import_seconds: float
) -> dict[str, Any]:
    """Evaluate the best weights, write the predictions, and return the row.

    The test part gives the row's figures. Logits of the validation part are kept in addition, since
    temperatures and thresholds are fitted on them.
    """
    lines, state = supervision.folder.read_metrics(), trained.state
    best = next(line for line in lines if line["epoch"] == state.best_epoch)
    row = describe_run(trained.run, threads=count_threads(supervision.folder.read_run()))
    row |= {f"best_{key.replace('/', '_')}": best[key] for key in best if key.startswith("val/")}
    keep_validation(trained, supervision)
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
        **describe_head_fit(supervision.folder.path),
        "import_seconds": import_seconds,
        **describe_times(lines, trained),
        "other_processor_share": watched_share(state.seconds),
        "peak_memory_bytes": own_peak_bytes(),
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


def keep_validation(trained: FinishedTraining, supervision: Supervision) -> None:
    """Write the answers of the best weights for the validation part, if it is a part of its own."""
    val = trained.data.val
    # Under `val_on_test` they would be the same as those for the test part.
    if val is None or trained.run.spec.data.split.val_on_test:
        return
    trained.trainer.load(trained.weights)
    kept = trained.steps.kept_val
    logits, labels = evaluate_watched(supervision, trained.trainer, val, kept)
    ids = [trained.data.source.ids[index] for index in trained.data.split.val]
    digest = digest_checkpoint(supervision.folder.path)
    supervision.folder.write_predictions(logits, labels, ids, VALIDATION_PREDICTIONS, digest)


def judge_test(
    trained: FinishedTraining, supervision: Supervision, test: Pipeline
) -> dict[str, Any]:
    """Return the columns of the test part under the best weights, and write its predictions."""
    trained.trainer.load(trained.weights)
    kept = trained.steps.keep_part(test, trained.trainer.weights())
    logits, labels = evaluate_watched(supervision, trained.trainer, test, kept)
    metrics = classification_metrics(logits, labels)
    hits = int(right_answers(logits, labels).sum())
    low, high = wilson_interval(hits, len(labels))
    ids = [trained.data.source.ids[index] for index in trained.data.split.test]
    supervision.folder.write_predictions(logits, labels, ids)
    return {
        **{f"test_{name}": value for name, value in metrics.items()},
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        **prefix_columns(describe_answers(logits, labels, trained.data.source.class_names)),
        **measure_phases(trained, supervision, ids),
    }


def prefix_columns(figures: Mapping[str, object]) -> dict[str, object]:
    """Return figures of the test part under the names of their columns."""
    return {
        key if key == "positive_class" else f"test_{key}": value for key, value in figures.items()
    }


def describe_lora(run: ResolvedRun) -> dict[str, Any]:
    """Return the columns of a run with LoRA: its terms, their values, the trained share of all."""
    spec, parameters = run.spec.lora, run.network.parameters
    term = spec.term
    if term is None:
        return {}
    total = sum(parameter.size for parameter in parameters)
    return {
        "lora": f"rank {term.rank}, factor {term.scale:g}: {', '.join(spec.targets)}",
        "lora_parameters": sum(p.size for p in parameters if is_term(p.name)),
        "trained_share": count_trained(run) / total,
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
        **describe_lora(run),
        **({"parameters_beside": extra} if extra else {}),
    }
