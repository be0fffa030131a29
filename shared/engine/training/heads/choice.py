"""The end of a run that fits its head: a head per candidate, and the one that validation picks.

Candidates are judged by the run's own trainer, metric and validation part. The test part is not
read.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.console.work_count import WorkCount
from poc.shared.engine.folder.loop_state import selection_score
from poc.shared.engine.numerics.metrics import classification_metrics
from poc.shared.engine.training.evaluation import evaluate, judge_validation
from poc.shared.engine.training.stage import StageSteps
from poc.shared.engine.training.supervision import Supervision
from poc.shared.errors import CheckFailed
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.fitted_heads import (
    FittedHeadOptions,
    LogisticOptions,
    NeighboursOptions,
)
from poc.shared.spec.networks.layers.neighbours import NearestNeighbours
from poc.shared.spec.resolved import ResolvedRun

from .logistic import fit_logistic
from .neighbours import fit_neighbours
from .record import NOT_CHOSEN, Candidate, HeadFit, write_head_fit


class Judged(NamedTuple):
    """A fitted head, as parameters (…) of the last layer, and its row of `head_fit.json`."""

    weights: Arrays
    row: Candidate


def fit_head(steps: StageSteps, supervision: Supervision, *, is_chosen: bool) -> dict[str, float]:
    """Fit every candidate, put the best into the trainer, and record the choice in the folder.

    Of equal scores the smaller C or k wins.

    Args:
        steps: Steps of the run's one stage, which have kept the features of all training images.
        supervision: The run's folder, its progress reports, and requests to stop.
        is_chosen: False: one candidate, the options' own for too few validation images.

    Returns:
        Means over the training part: `loss`, `accuracy` and their `count`.

    Raises:
        CheckFailed: A feature is not finite.
    """
    options = cast(FittedHeadOptions, steps.run.method_settings)
    metric = steps.run.spec.early_stopping.metric
    judged = list(judge_candidates(steps, supervision, is_chosen=is_chosen))
    # The first of equal ones: candidates come in rising order.
    best = max(judged, key=lambda one: selection_score(one.row["metrics"], metric))
    steps.trainer.load({**steps.trainer.weights(), **best.weights})
    write_head_fit(
        supervision.folder.path,
        HeadFit(
            symbol=options.symbol,
            chosen=best.row["value"],
            metric=metric if is_chosen else NOT_CHOSEN,
            candidates=[one.row for one in judged],
        ),
    )
    return judge_training(steps)


def judge_candidates(
    steps: StageSteps, supervision: Supervision, *, is_chosen: bool
) -> Iterator[Judged]:
    """Yield a head for each candidate, in rising order, with its metrics on the validation part."""
    features, labels = gather(steps)
    values = candidates_of(steps.run, len(labels), is_chosen=is_chosen)
    count = WorkCount(supervision.report, "fitting the head", len(values))
    for done, value in enumerate(values, start=1):
        supervision.interruption.check()
        started = time.perf_counter()
        weights, is_converged = fit(steps.run, features, labels, value)
        seconds = time.perf_counter() - started
        steps.trainer.load({**steps.trainer.weights(), **weights})
        metrics = judge_validation(supervision, steps.trainer, steps.data.val, steps.kept_val)
        yield Judged(
            weights,
            Candidate(value=value, metrics=metrics, is_converged=is_converged, seconds=seconds),
        )
        count(done)


def gather(steps: StageSteps) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return features (N, F) and labels (N,) of the training part, in the order of the source.

    Raises:
        CheckFailed: A feature is not finite.
        ValueError: Not all are kept yet.
    """
    if steps.kept is None or not steps.kept.is_whole:
        raise ValueError("Got a head to fit before all features are kept. Expected a full epoch.")
    indices, arrays = steps.kept.rows()
    (features,) = arrays.values()
    if not np.isfinite(features).all():
        raise CheckFailed(
            f"Got features of {steps.network.name} that are not finite. Expected finite values. "
            "Try other weights, or precision=float32."
        )
    return features, steps.data.source.labels[indices]


def candidates_of(run: ResolvedRun, num_images: int, *, is_chosen: bool) -> tuple[float, ...]:
    """Return the values of C or k to try, in rising order; no k is above the number of images."""
    options = cast(FittedHeadOptions, run.method_settings)
    values = options.candidates if is_chosen else (options.unchosen,)
    if isinstance(options, NeighboursOptions):
        values = tuple(min(value, num_images) for value in values)
    return tuple(dict.fromkeys(values))


def fit(
    run: ResolvedRun, features: NDArray[np.floating], labels: NDArray[np.int64], value: float
) -> tuple[Arrays, bool]:
    """Return the last layer's parameters under canonical names, and whether the solver ended.

    Args:
        run: The run.
        features: (N, F) of the training images.
        labels: (N,).
        value: C or k.
    """
    head, options = run.network.head, run.method_settings
    num_classes, is_converged = run.network.num_classes, True
    if isinstance(options, LogisticOptions):
        weights, is_converged = fit_logistic(features, labels, num_classes, value, options)
    else:
        layer = cast(NearestNeighbours, head.layer)
        weights = fit_neighbours(features, labels, int(value), layer)
    return {f"{head.name}/{name}": array for name, array in weights.items()}, is_converged


def judge_training(steps: StageSteps) -> dict[str, float]:
    """Return loss and accuracy of the trainer's head on the training part, and its `count`."""
    logits, labels = evaluate(steps.trainer, steps.data.train, steps.kept)
    metrics = classification_metrics(logits, labels)
    found = {name: metrics[name] for name in ("loss", "accuracy")}
    return {**found, "count": float(len(labels))}
