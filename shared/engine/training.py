"""The only training loop: both backends, every method.

A backend takes steps and gives logits; everything else that decides a number (order, noise, rates,
metrics, when to stop, what is kept) happens here, once.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.pipeline import Batch, Pipeline
from poc.shared.errors import CheckFailed
from poc.shared.spec.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.schedules import learning_rate
from poc.shared.spec.stages import Stage, find_stage

from .backend import Backend, Trainer
from .datasets import RunData
from .files import read_arrays, write_arrays, write_json
from .metrics import average_views, classification_metrics
from .noise import draw_noise
from .norm_statistics import estimate_statistics
from .run_folder import RunFolder
from .source_network import SourceCache, known_numbers, starting_weights

Report = Callable[[Mapping[str, Any]], None]
SECONDS_BETWEEN_REPORTS = 0.1
# A non-finite loss is looked for this often, so that no step waits for the device.
STEPS_BETWEEN_CHECKS = 200


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
        started = time.perf_counter()
        self.start_stage(run.stages[0], {})
        self.state.seconds["build"] = time.perf_counter() - started

    def start_stage(self, stage: Stage, weights: Weights) -> None:
        """A fresh trainer and optimiser; `weights` are those that a former stage has trained."""
        run = self.spec.replace(stage=stage.name)
        self.stage, self.network = stage, run.trained_network
        self.trainer: Trainer = self.backend.Trainer(run, {**starting_weights(run), **weights})
        self.cache = SourceCache(run, self.data.train.indices)
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
            self.start_stage(stage, self.trainer.weights())
        self.state.epoch += 1
        started = time.perf_counter()
        sums = self.train_epoch()
        trained = time.perf_counter()
        metrics = {f"train/{name}": value for name, value in sums.items()}
        self.settle_norms()
        if self.data.val is not None:
            values = classification_metrics(*evaluate(self.trainer, self.data.val))
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
            self.trainer.load({**self.trainer.weights(), **statistics})

    def train_epoch(self) -> dict[str, float]:
        """Every step of one epoch; returns the means over its examples."""
        sums = Sums()
        started = reported = time.monotonic()
        examples = 0
        for batch in self.data.train.epoch(self.state.epoch - 1):
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
        step, images, labels = self.state.step, batch.images, batch.learned
        noise = draw_noise(self.network, seed=self.spec.seed, step=step, batch_size=len(images))
        progress = (step - self.first_step_of_stage) / max(self.steps_of_stage - 1, 1)
        known = known_numbers(self.spec, progress) | self.cache.look_up(self.trainer, batch)
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
        spec = self.spec
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
        is_best = score > state.best_score or state.best_epoch == 0
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
        weights, folder = self.trainer.weights(), self.folder.checkpoints
        if is_best:
            own = {p.name: weights[p.name] for p in self.spec.network.parameters}
            write_arrays(folder / "best.safetensors", own, epoch=str(self.state.epoch))
        write_arrays(folder / "last.safetensors", weights, epoch=str(self.state.epoch))
        write_arrays(folder / "last_optimizer.safetensors", self.trainer.state())
        write_json(folder / "last_loop.json", asdict(self.state))

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
    trainer: Trainer, pipeline: Pipeline
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Logits (N, num_classes) and labels (N,) of a part, in its own order.

    Where an example has several crops, its logits are their average; of averaged softmax values,
    their logarithm.
    """
    logits, labels = [], []
    for batch in pipeline.epoch(0):
        crops = trainer.logits(batch.images)
        logits.append(average_views(crops, pipeline.num_views, pipeline.average))
        labels.append(batch.labels)
    return np.concatenate(logits), np.concatenate(labels)
