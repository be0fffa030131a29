"""The only training loop: both backends, every method.

A backend takes steps and gives logits; everything else that decides a number (order, noise, rates,
metrics, when to stop, what is kept) happens here, once.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.pipeline import Batch, Pipeline
from poc.shared.data.preparation import Images
from poc.shared.errors import CheckFailed
from poc.shared.spec.freezing import moving_names
from poc.shared.spec.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.schedules import learning_rate
from poc.shared.spec.stages import Stage, find_stage

from .backend import Backend, Trainer
from .datasets import RunData
from .files import Arrays, read_arrays, write_arrays, write_json
from .frozen_part import keep_for_training, keep_frozen_part
from .kept_outputs import KeptOutputs
from .metrics import average_views, classification_metrics
from .noise import draw_noise
from .norm_statistics import estimate_statistics
from .run_folder import RunFolder
from .source_network import known_numbers, starting_weights

Report = Callable[[Mapping[str, Any]], None]
SECONDS_BETWEEN_REPORTS = 0.1
# A non-finite loss is looked for this often, so that no step waits for the device.
STEPS_BETWEEN_CHECKS = 200
# Of a run whose epochs take no images.
SECONDS_BETWEEN_SAVES = 5


@dataclass
class LoopState:
    """Where the loop stands: with weights and optimiser state, all that it knows."""

    epoch: int = 0
    step: int = 0
    rate_factor: float = 1.0
    best_epoch: int = 0
    best_score: float = -math.inf
    epochs_without_improvement: int = 0
    epochs_since_reduction: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class TrainingLoop:
    """One run: `run()` trains to the end and returns the last metrics line."""

    def __init__(
        self, run: RunSpec, backend: Backend, data: RunData, folder: RunFolder, report: Report
    ) -> None:
        self.spec, self.data, self.folder, self.report = run, data, folder, report
        self.backend = backend
        self.num_steps = run.num_epochs * data.train.num_batches
        self.state = LoopState()
        self.best: Weights | None = None
        self.saved = -math.inf
        started = time.perf_counter()
        self.start_stage(run.stages[0], {})
        self.state.seconds["build"] = time.perf_counter() - started

    def start_stage(self, stage: Stage, weights: Weights) -> None:
        """A fresh trainer and optimiser; `weights` are those that a former stage has trained."""
        run = self.spec.at_stage(stage.name)
        self.data.show(run)
        self.stage, self.stage_run, self.network = stage, run, run.trained_network
        started = {**starting_weights(run), **weights}
        self.trainer: Trainer = self.backend.Trainer(run, started)
        self.kept = keep_for_training(run, self.data.train, started)
        self.kept_val = self.keep_part(self.data.val, started)
        # What is best, and when to stop, is a matter of the last stage.
        self.state = LoopState(
            epoch=self.state.epoch, step=self.state.step, seconds=self.state.seconds
        )

    def run(self) -> dict[str, Any]:
        """Train until the last epoch or until patience ends."""
        line: dict[str, Any] = {}
        while self.state.epoch < self.spec.num_epochs and not self.is_out_of_patience():
            line = self.run_epoch()
        return line

    def is_out_of_patience(self) -> bool:
        """Whether early stopping ends the run; only its last stage can be ended."""
        patience = self.spec.early_stopping.patience
        if patience is None or self.stage != self.spec.stages[-1]:
            return False
        return self.state.epochs_without_improvement >= patience

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training part, validation, checkpoints and one metrics line."""
        stage = find_stage(self.spec.stages, self.state.epoch + 1)
        if stage != self.stage:
            weights = self.trainer.weights()
            write_arrays(self.folder.stage_end(self.stage.name), weights)
            self.start_stage(stage, weights)
        self.state.epoch += 1
        started = time.perf_counter()
        sums = self.train_epoch()
        trained = time.perf_counter()
        metrics = {f"train/{name}": value for name, value in sums.items()}
        self.settle_norms()
        if self.data.val is not None:
            values = classification_metrics(*evaluate(self.trainer, self.data.val, self.kept_val))
            metrics |= {f"val/{name}": value for name, value in values.items()}
        evaluated = time.perf_counter()
        is_best = self.judge(metrics)
        self.save(is_best)
        line = {
            "epoch": self.state.epoch,
            "step": self.state.step,
            "learning_rate": self.rate(self.state.step - 1),
            **({"stage": self.stage.name} if self.stage.name else {}),
            **metrics,
            "train_seconds": trained - started,
            "eval_seconds": evaluated - trained,
            "epoch_seconds": time.perf_counter() - started,
            "images_per_second": self.data.train.examples / (trained - started),
        }
        self.folder.append_metrics(line)
        constants = {"backend": self.spec.backend, "num_epochs": self.spec.num_epochs}
        self.report({"event": "epoch", **constants, **line})
        return line

    def settle_norms(self) -> None:
        """Replace the running statistics by those of the training part, where the run wants it."""
        if self.data.train_as_evaluated is not None:
            statistics = estimate_statistics(
                self.trainer, self.network, self.data.train_as_evaluated
            )
            if statistics:
                self.trainer.load({**self.trainer.weights(), **statistics})

    def train_epoch(self) -> dict[str, float]:
        """Every step of one epoch; returns the means over its examples."""
        sums = Sums()
        started = reported = time.monotonic()
        examples = 0
        for batch in self.batches():
            self.step(batch)
            if self.state.step % STEPS_BETWEEN_CHECKS == 0:
                self.collect(sums)
            examples += len(batch.labels)
            now = time.monotonic()
            if now - reported > SECONDS_BETWEEN_REPORTS:
                reported = now
                self.report_step(examples / (now - started))
        self.collect(sums)
        return sums.means()

    def batches(self) -> Iterator[Batch]:
        """The epoch's batches; without images where all that is needed of them is kept."""
        train, epoch = self.data.train, self.state.epoch - 1
        if self.needs_no_images and self.kept is not None and self.kept.is_whole:
            return train.labelled(epoch)
        return train.epoch(epoch)

    def keep_part(self, pipeline: Pipeline | None, weights: Weights) -> KeptOutputs | None:
        """Where a part that is evaluated keeps values of the network's frozen part."""
        if pipeline is None:
            return None
        return keep_frozen_part(self.stage_run, pipeline, weights, is_training=False)

    @property
    def needs_no_images(self) -> bool:
        """Whether kept outputs stand for the images, and not beside them."""
        return self.kept is not None and self.spec.source is None

    def given_images(self, batch: Batch) -> Images:
        """What a step takes of the images; height and width 0 where kept outputs stand for them."""
        return batch.images[:, :0, :0] if self.needs_no_images else batch.images

    def look_up(self, batch: Batch) -> Arrays:
        """Kept outputs for this batch, computed when its images are first seen."""
        if self.kept is None:
            return {}
        return self.kept.look_up(batch.indices, lambda: self.trainer.source_outputs(batch.images))

    def report_step(self, images_per_second: float) -> None:
        """Tell where the run stands."""
        self.report(
            {
                "event": "step",
                "step": self.state.step,
                "num_steps": self.num_steps,
                "images_per_second": images_per_second,
            }
        )

    def step(self, batch: Batch) -> None:
        """One update of the weights; labels (N,) int64 or soft ones (N, num_classes) float32."""
        step, labels = self.state.step, batch.learned
        images = self.given_images(batch)
        noise = draw_noise(self.network, seed=self.spec.seed, step=step, batch_size=len(images))
        progress = (step - self.first_step_of_stage) / max(self.steps_of_stage - 1, 1)
        known = known_numbers(self.spec, progress) | self.look_up(batch)
        if step == 0:
            started = time.perf_counter()
            self.trainer.step(images, labels, self.rate(step), noise, known)
            self.trainer.wait()
            self.state.seconds["first_step"] = time.perf_counter() - started
        else:
            self.trainer.step(images, labels, self.rate(step), noise, known)
        self.state.step += 1

    def rate(self, step: int) -> float:
        """Learning rate of a step; each stage has the whole schedule to itself."""
        spec = self.stage_run
        base = spec.optimizer.learning_rate * self.state.rate_factor
        first = self.first_step_of_stage
        return learning_rate(spec.schedule, base, step - first, self.steps_of_stage)

    @property
    def first_step_of_stage(self) -> int:
        """Index of the first step of the current stage."""
        return (self.stage.first_epoch - 1) * self.data.train.num_batches

    @property
    def steps_of_stage(self) -> int:
        """Steps of the current stage."""
        return self.stage.num_epochs * self.data.train.num_batches

    def collect(self, sums: "Sums") -> None:
        """Fetch the device's totals and refuse a non-finite loss."""
        metrics = self.trainer.metrics()
        bad_step = int(metrics.pop("bad_step"))
        if bad_step >= 0:
            step = sums.steps + bad_step + self.first_step_of_epoch()
            raise CheckFailed(
                f"the loss is not finite at step {step} (epoch {self.state.epoch}); the last good "
                "checkpoint is kept: lower optimizer.learning_rate or look at the data"
            )
        sums.add(metrics, self.state.step - self.first_step_of_epoch())

    def first_step_of_epoch(self) -> int:
        """Index of the first step of the current epoch."""
        return (self.state.epoch - 1) * self.data.train.num_batches

    def judge(self, metrics: Mapping[str, float]) -> bool:
        """Compare with the best epoch so far, count patience, reduce the rate on a plateau."""
        stopping, state = self.spec.early_stopping, self.state
        score = selection_score(metrics, stopping.metric)
        # Without a validation part the score is infinite, and the latest epoch is the best.
        is_best = score > state.best_score or score == math.inf or state.best_epoch == 0
        if is_best:
            state.best_score, state.best_epoch = score, state.epoch
            state.epochs_without_improvement = state.epochs_since_reduction = 0
            return True
        state.epochs_without_improvement += 1
        state.epochs_since_reduction += 1
        if stopping.reduce_patience and state.epochs_since_reduction >= stopping.reduce_patience:
            state.rate_factor *= stopping.reduce_factor
            state.epochs_since_reduction = 0
        return False

    def save(self, is_best: bool) -> None:
        """Write `last` (weights, optimiser, loop) and, where it is the best epoch, `best`.

        `best` holds the network alone, without what was trained beside it.
        """
        if self.can_wait():
            if is_best:
                moving = self.trainer.weights(moving_names(self.network))
                self.best = {name: np.array(value) for name, value in moving.items()}
            return
        weights, folder = self.trainer.weights(), self.folder.checkpoints
        if is_best or self.best is not None:
            # What does not move is the same in every epoch.
            kept = weights if is_best else {**weights, **(self.best or {})}
            own = {p.name: kept[p.name] for p in self.spec.network.parameters}
            write_arrays(folder / "best.safetensors", own, epoch=str(self.state.best_epoch))
        self.best, self.saved = None, time.monotonic()
        write_arrays(folder / "last.safetensors", weights, epoch=str(self.state.epoch))
        write_arrays(folder / "last_optimizer.safetensors", self.trainer.state())
        write_json(folder / "last_loop.json", asdict(self.state))

    def can_wait(self) -> bool:
        """Whether this epoch need not be written: epochs on kept values take less than a write."""
        is_last = self.state.epoch in (self.spec.num_epochs, self.stage.last_epoch)
        is_recent = time.monotonic() - self.saved < SECONDS_BETWEEN_SAVES
        return self.needs_no_images and is_recent and not is_last and not self.is_out_of_patience()

    def best_weights(self) -> Weights:
        """Weights of the best epoch; what stands beside the network is the latest."""
        best = read_arrays(self.folder.checkpoints / "best.safetensors")
        return {**self.trainer.weights(), **best}


class Sums:
    """Means of parts of an epoch, weighted by their steps, into means of the epoch."""

    def __init__(self) -> None:
        self.steps = 0
        self._totals: dict[str, float] = {}
        self._weight = 0.0

    def add(self, metrics: Mapping[str, float], steps: int) -> None:
        """Add what the backend gave since the last call; `steps` is the epoch's count so far."""
        self.steps = steps
        weight = metrics.get("count", 0.0)
        for name, value in metrics.items():
            if name != "count":
                self._totals[name] = self._totals.get(name, 0.0) + value * weight
        self._weight += weight

    def means(self) -> dict[str, float]:
        """Means over all examples."""
        return {name: total / max(self._weight, 1.0) for name, total in self._totals.items()}


def selection_score(metrics: Mapping[str, float], metric: str) -> float:
    """A number to maximise; without a validation part every epoch is better than the last."""
    if metric not in metrics:
        return math.inf
    score = -metrics[metric] if metric.endswith("loss") else metrics[metric]
    # A NaN compares false with everything: as the best score it would never be beaten.
    return -math.inf if math.isnan(score) else score


def evaluate(
    trainer: Trainer, pipeline: Pipeline, kept: KeptOutputs | None = None
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Logits (N, num_classes) and labels (N,) of a part, in its own order.

    Where an example has several crops, its logits are their average; of averaged softmax values,
    their logarithm. Values of a frozen part that are `kept` are computed once.
    """
    logits, labels = [], []
    is_whole = kept is not None and kept.is_whole
    for batch in pipeline.labelled(0) if is_whole else pipeline.epoch(0):
        crops = evaluate_batch(trainer, batch, kept)
        logits.append(average_views(crops, pipeline.num_views, pipeline.average))
        labels.append(batch.labels)
    return np.concatenate(logits), np.concatenate(labels)


def evaluate_batch(
    trainer: Trainer, batch: Batch, kept: KeptOutputs | None
) -> NDArray[np.floating]:
    """Logits (N * num_views, num_classes) of one batch."""
    if kept is None:
        return trainer.logits(batch.images)
    known = kept.look_up(batch.indices, lambda: trainer.source_outputs(batch.images))
    return trainer.logits(batch.images[:, :0, :0], known)
