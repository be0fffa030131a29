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

from poc.shared.data.pipeline import Pipeline
from poc.shared.errors import CheckFailed
from poc.shared.spec.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.schedules import learning_rate

from .backend import Backend, Trainer
from .datasets import RunData
from .files import read_arrays, write_arrays, write_json
from .initial_weights import initial_weights
from .metrics import classification_metrics
from .noise import draw_noise
from .run_folder import RunFolder

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
        self.network = run.network
        self.num_steps = run.num_epochs * data.train.num_batches
        self.state = LoopState()
        started = time.perf_counter()
        self.trainer: Trainer = backend.Trainer(run, initial_weights(run))
        self.state.seconds["build"] = time.perf_counter() - started

    def run(self) -> dict[str, Any]:
        """Train until the last epoch or until patience ends."""
        line: dict[str, Any] = {}
        while self.state.epoch < self.spec.num_epochs and not self.is_out_of_patience():
            line = self.run_epoch()
        return line

    def is_out_of_patience(self) -> bool:
        """Whether early stopping ends the run."""
        patience = self.spec.early_stopping.patience
        return patience is not None and self.state.epochs_without_improvement >= patience

    def run_epoch(self) -> dict[str, Any]:
        """One pass over the training part, validation, checkpoints and one metrics line."""
        self.state.epoch += 1
        started = time.perf_counter()
        sums = self.train_epoch()
        trained = time.perf_counter()
        metrics = {f"train/{name}": value for name, value in sums.items()}
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

    def train_epoch(self) -> dict[str, float]:
        """Every step of one epoch; returns the means over its examples."""
        sums = Sums()
        started = reported = time.monotonic()
        examples = 0
        for batch in self.data.train.epoch(self.state.epoch - 1):
            self.step(batch.images, batch.labels)
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

    def step(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """One update of the weights."""
        step = self.state.step
        noise = draw_noise(self.network, seed=self.spec.seed, step=step, batch_size=len(images))
        if step == 0:
            started = time.perf_counter()
            self.trainer.step(images, labels, self.rate(step), noise)
            self.trainer.wait()
            self.state.seconds["first_step"] = time.perf_counter() - started
        else:
            self.trainer.step(images, labels, self.rate(step), noise)
        self.state.step += 1

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        spec = self.spec
        base = spec.optimizer.learning_rate * self.state.rate_factor
        return learning_rate(spec.schedule, base, step, self.num_steps)

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
        """Write `last` (weights, optimiser, loop) and, where it is the best epoch, `best`."""
        weights, folder = self.trainer.weights(), self.folder.checkpoints
        if is_best:
            write_arrays(folder / "best.safetensors", weights, epoch=str(self.state.epoch))
        write_arrays(folder / "last.safetensors", weights, epoch=str(self.state.epoch))
        write_arrays(folder / "last_optimizer.safetensors", self.trainer.state())
        write_json(folder / "last_loop.json", asdict(self.state))

    def best_weights(self) -> Weights:
        """Weights of the best epoch."""
        return read_arrays(self.folder.checkpoints / "best.safetensors")


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
    return -metrics[metric] if metric.endswith("loss") else metrics[metric]


def evaluate(
    trainer: Trainer, pipeline: Pipeline
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Logits (N, num_classes) and labels (N,) of a part, in its own order."""
    logits, labels = [], []
    for batch in pipeline.epoch(0):
        logits.append(trainer.logits(batch.images))
        labels.append(batch.labels)
    return np.concatenate(logits), np.concatenate(labels)
