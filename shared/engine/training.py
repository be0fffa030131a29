"""The only training loop: both backends, every method.

A backend takes steps and gives logits; everything else that decides a number (order, noise, rates,
metrics, when to stop, what is kept) happens here, once.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.pipeline import Batch, Pipeline
from poc.shared.spec.initializers import Weights
from poc.shared.spec.run import RunSpec
from poc.shared.spec.schedules import learning_rate
from poc.shared.spec.stages import Stage, find_stage

from .backend import Backend, Trainer
from .checkpoints import Checkpoint
from .datasets import RunData
from .diagnosis import NonFinite, check_finite, find_non_finite
from .files import read_arrays, write_arrays
from .interruption import Interruption, StopRequested
from .loop_state import LoopState, Sums, selection_score
from .metrics import average_views, classification_metrics
from .noise import Noise, draw_noise
from .norm_statistics import estimate_statistics
from .run_folder import RunFolder
from .saving import Saver
from .source_network import SourceCache, known_numbers, starting_weights

Report = Callable[[Mapping[str, Any]], None]
SECONDS_BETWEEN_REPORTS = 0.1
# A non-finite loss is looked for this often, so that no step waits for the device.
STEPS_BETWEEN_CHECKS = 200


class TrainingLoop:
    """One run: `run()` trains to the end, or from where its folder's checkpoint stands.

    Args:
        run: Resolved spec.
        backend: That of the run.
        data: Its opened data.
        folder: Where checkpoints and metrics go.
        report: Called with progress events.
        saver: When to save between epochs; none: never.
        interruption: Asked after every step whether to stop; none: nobody asks.
    """

    def __init__(
        self,
        run: RunSpec,
        backend: Backend,
        data: RunData,
        folder: RunFolder,
        report: Report,
        saver: Saver | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self.spec, self.data, self.folder, self.report = run, data, folder, report
        self.backend = backend
        self.saver, self.interruption = saver or Saver(), interruption or Interruption()
        self.num_steps = run.num_epochs * data.train.num_batches
        self.started = time.perf_counter()
        self.rewind(folder.read_checkpoint())
        self.state.seconds.setdefault("build", time.perf_counter() - self.started)

    def rewind(self, checkpoint: Checkpoint | None) -> None:
        """Stand where a checkpoint stands; none: at the beginning."""
        self.state, self.sums = LoopState(), Sums()
        self.line = checkpoint.line if checkpoint else None
        self.folder.cut_metrics(self.line)
        if checkpoint is None:
            self.start_stage(self.spec.stages[0], {})
            return
        loop = checkpoint.loop
        self.start_stage(find_stage(self.spec.stages, loop.epoch), checkpoint.weights)
        self.trainer.restore(checkpoint.trainer_state)
        self.trainer.restore_counts(checkpoint.counts)
        self.state, self.sums = loop, checkpoint.sums
        self.refill_cache()

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

    def refill_cache(self) -> None:
        """Compute the source's kept outputs again, in the batches in which they were first seen."""
        step, steps = self.first_step_of_stage, self.data.train.num_batches
        while step < self.state.step and not self.cache.is_complete:
            epoch = step // steps
            for batch in self.batches(epoch, 0, min(steps, self.state.step - step)):
                self.cache.look_up(self.trainer, batch)
            step = (epoch + 1) * steps

    def run(self) -> None:
        """Train until the last epoch or until patience ends; stop early where that is asked for.

        Raises:
            StopRequested: After everything was saved.
            CheckFailed: Something is not finite.
        """
        try:
            self.run_epochs()
        except NonFinite as problem:
            raise find_non_finite(self, problem) from None

    def run_epochs(self) -> None:
        """Train until nothing is left; a stop that was asked for leaves a checkpoint."""
        try:
            while self.state.is_in_epoch or not self.is_finished():
                self.run_epoch()
        except StopRequested:
            if self.state.step != self.saver.last_step:
                self.save()
            raise

    def is_finished(self) -> bool:
        """Whether the last epoch is over; early stopping can only end the last stage."""
        if self.state.epoch >= self.spec.num_epochs:
            return True
        patience = self.spec.early_stopping.patience
        if patience is None or self.stage != self.spec.stages[-1]:
            return False
        return self.state.epochs_without_improvement >= patience

    def run_epoch(self) -> dict[str, Any]:
        """What is left of one pass over the training part, validation, checkpoints, one line."""
        if not self.state.is_in_epoch:
            self.begin_epoch()
        sums = self.train_epoch()
        trained = time.perf_counter()
        metrics = {f"train/{name}": value for name, value in sums.items()}
        self.settle_norms()
        if self.data.val is not None:
            values = classification_metrics(*self.evaluate(self.data.val))
            metrics |= {f"val/{name}": value for name, value in values.items()}
        evaluated = time.perf_counter()
        line = self.describe_epoch(metrics, evaluated - trained)
        self.end_epoch(metrics, line)
        line["epoch_seconds"] += time.perf_counter() - evaluated
        self.folder.append_metrics(line)
        constants = {"backend": self.spec.backend, "num_epochs": self.spec.num_epochs}
        self.report({"event": "epoch", **constants, **line})
        return line

    def begin_epoch(self) -> None:
        """Count the next epoch, in the stage that it belongs to."""
        stage = find_stage(self.spec.stages, self.state.epoch + 1)
        if stage != self.stage:
            self.start_stage(stage, self.trainer.weights())
        self.state.epoch += 1
        self.state.is_in_epoch, self.sums = True, Sums()
        self.state.seconds["train"] = 0.0

    def describe_epoch(self, metrics: Mapping[str, float], eval_seconds: float) -> dict[str, Any]:
        """The epoch's metrics line."""
        train_seconds = self.state.seconds["train"]
        return {
            "epoch": self.state.epoch,
            "step": self.state.step,
            "learning_rate": self.rate(self.state.step - 1),
            **({"stage": self.stage.name} if self.stage.name else {}),
            **metrics,
            "train_seconds": train_seconds,
            "eval_seconds": eval_seconds,
            "epoch_seconds": train_seconds + eval_seconds,
            "images_per_second": self.data.train.examples / train_seconds,
        }

    def end_epoch(self, metrics: Mapping[str, float], line: dict[str, Any]) -> None:
        """Judge the epoch and save: all or nothing of it is in the checkpoint.

        What a resume does not read is written first: taken again, the epoch writes the same.
        """
        weights = self.trainer.weights()
        if self.judge(metrics):
            own = {p.name: weights[p.name] for p in self.spec.network.parameters}
            self.write_weights("best", own)
        self.write_weights("last", weights)
        self.state.is_in_epoch = False
        self.line = line
        self.save()

    def settle_norms(self) -> None:
        """Replace the running statistics by those of the training part, where the run wants it."""
        if self.data.train_as_evaluated is not None:
            statistics = estimate_statistics(
                self.trainer, self.network, self.data.train_as_evaluated
            )
            self.trainer.load({**self.trainer.weights(), **statistics})

    def train_epoch(self) -> dict[str, float]:
        """Every step that is left of the epoch; returns the means over all its examples."""
        started = reported = time.monotonic()
        earlier, examples = self.state.seconds["train"], 0
        done = self.state.step - self.first_step_of_epoch()
        for batch in self.batches(self.state.epoch - 1, done):
            self.step(batch)
            if self.state.step % STEPS_BETWEEN_CHECKS == 0:
                self.collect()
            examples += len(batch.labels)
            now = time.monotonic()
            if now - reported > SECONDS_BETWEEN_REPORTS:
                reported = now
                self.report_step(examples / (now - started))
            self.state.seconds["train"] = earlier + now - started
            if self.saver.is_due(self.state.step, now):
                self.save()
            self.interruption.check()
        self.collect()
        self.state.seconds["train"] = earlier + time.monotonic() - started
        return self.sums.means()

    def batches(self, epoch: int, first: int, end: int | None = None) -> Iterator[Batch]:
        """Training batches of one epoch, counted from 0; closed as soon as nobody reads on."""
        for position, batch in enumerate(self.data.train.epoch(epoch, first), start=first):
            yield batch
            if end is not None and position + 1 >= end:
                return

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
        noise, known = self.inputs(batch)
        if step == 0:
            started = time.perf_counter()
            self.trainer.step(images, labels, self.rate(step), noise, known)
            self.trainer.wait()
            self.state.seconds["first_step"] = time.perf_counter() - started
        else:
            self.trainer.step(images, labels, self.rate(step), noise, known)
        self.state.step += 1

    def inputs(self, batch: Batch) -> tuple[Noise, Mapping[str, NDArray[Any]]]:
        """What the next step takes beside the batch: masks, kept outputs and coefficients."""
        step, size = self.state.step, len(batch.images)
        noise = draw_noise(self.network, seed=self.spec.seed, step=step, batch_size=size)
        progress = (step - self.first_step_of_stage) / max(self.steps_of_stage - 1, 1)
        known = known_numbers(self.spec, progress) | self.cache.look_up(self.trainer, batch)
        return noise, known

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

    def collect(self) -> None:
        """Fetch the device's totals and refuse a non-finite loss."""
        metrics = self.trainer.metrics()
        bad_step = int(metrics.pop("bad_step"))
        if bad_step >= 0:
            raise NonFinite(self.sums.steps + bad_step + self.first_step_of_epoch())
        self.sums.add(metrics, self.state.step - self.first_step_of_epoch())

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

    def save(self) -> None:
        """Write the checkpoint to resume from, unless something in it is not finite.

        Raises:
            NonFinite: The checkpoint of before is kept.
        """
        checkpoint = self.snapshot()
        check_finite(checkpoint, self.sums.steps + self.first_step_of_epoch(), self.state.step)
        self.folder.write_checkpoint(checkpoint)
        self.saver.saved(self.state.step)

    def snapshot(self) -> Checkpoint:
        """All that a resume needs; waits for the device."""
        self.state.seconds["before"] = self.total_seconds
        self.started = time.perf_counter()
        return Checkpoint(
            loop=self.state,
            sums=self.sums,
            line=self.line,
            weights=self.trainer.weights(),
            trainer_state=self.trainer.state(),
            counts=self.trainer.counts(),
        )

    @property
    def total_seconds(self) -> float:
        """Seconds of the run so far, those of earlier processes included."""
        return self.state.seconds.get("before", 0.0) + time.perf_counter() - self.started

    def write_weights(self, name: str, weights: Weights) -> None:
        """Write `best` (the network alone) or `last` (with what was trained beside it)."""
        path = self.folder.checkpoints / f"{name}.safetensors"
        write_arrays(path, weights, epoch=str(self.state.epoch))

    def best_weights(self) -> Weights:
        """Weights of the best epoch; what stands beside the network is the latest."""
        best = read_arrays(self.folder.checkpoints / "best.safetensors")
        return {**self.trainer.weights(), **best}

    def evaluate(self, pipeline: Pipeline) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Logits and labels of a part; it can be stopped between two batches."""
        return evaluate(self.trainer, pipeline, self.interruption.check)


def evaluate(
    trainer: Trainer, pipeline: Pipeline, check: Callable[[], None] = lambda: None
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Logits (N, num_classes) and labels (N,) of a part, in its own order.

    Where an example has several crops, its logits are their average; of averaged softmax values,
    their logarithm. `check` is called after every batch.
    """
    logits, labels = [], []
    for batch in pipeline.epoch(0):
        crops = trainer.logits(batch.images)
        logits.append(average_views(crops, pipeline.num_views, pipeline.average))
        labels.append(batch.labels)
        check()
    return np.concatenate(logits), np.concatenate(labels)
