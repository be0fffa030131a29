"""The only training loop: both backends, every method.

A backend takes steps and gives logits; all else that decides a number happens here, once.
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from poc.shared.data.batches.pipeline import Batch
from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.console.work_count import Event
from poc.shared.engine.folder.checkpoints import Checkpoint
from poc.shared.engine.folder.frozen_tensors import frozen_names
from poc.shared.engine.folder.loop_state import LoopState, Sums
from poc.shared.engine.ranks.quiet_folder import tensors_of
from poc.shared.engine.resolving.validation import chooses_epoch
from poc.shared.engine.run_data import RunData
from poc.shared.engine.training.heads.choice import fit_head
from poc.shared.engine.worker.interruption import StopRequested
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.stages import Stage
from poc.shared.weights.lineage import weight_metadata

from .best_weights import BestWeights
from .clocks import EpochClock, RunClock
from .epoch_line import describe_epoch
from .evaluation import judge_validation
from .finished_training import FinishedTraining
from .judged_weights import describe_judged, handed_on, judged
from .non_finite import NonFinite, check_finite, find_non_finite
from .stage import StageSteps, stand_at
from .supervision import Supervision

# Steps between two looks for a non-finite loss; a look at each step would wait for the device.
STEPS_BETWEEN_CHECKS = 200
# Seconds between two writes of a run on kept values, whose epoch takes less time than a write.
SECONDS_BETWEEN_SAVES = 5


class TrainingLoop:
    """Training of one run: `run()` trains to the end, from the folder's checkpoint if it has one.

    Args:
        run: Resolved run.
        backend: The backend of the run.
        data: The run's opened data.
        supervision: The run's folder, its progress reports, and requests to stop.
        is_resumed: False: the folder's content is a former run's, and is left alone for now.
    """

    def __init__(
        self,
        run: ResolvedRun,
        backend: Backend,
        data: RunData,
        supervision: Supervision,
        *,
        is_resumed: bool = True,
    ) -> None:
        self.resolved, self.backend, self.data = run, backend, data
        self.spec, self.supervision, self.ranks = run.spec, supervision, supervision.ranks
        self.folder, self.report = supervision.folder, supervision.report
        self.saver, self.interruption = supervision.saver, supervision.interruption
        self.texts = weight_metadata(run.spec.model_spec, habits=run.spec.network_habits)
        self.frozen = tensors_of(self.folder, frozen_names(run))
        texts = {**self.texts, **describe_judged(run.spec)}
        self.best = BestWeights(self.folder.best, run.network, texts, self.frozen)
        self.chooses_epoch = chooses_epoch(run.spec, len(data.split.val))
        self.clock = RunClock()
        if is_resumed:
            self.rewind(self.folder.read_checkpoint())
        else:
            self.stand_at(None)
            # A resumed run keeps the seconds that its first process took to build.
        self.state.seconds.setdefault("build", self.clock.seconds_here)

    def rewind(self, checkpoint: Checkpoint | None) -> None:
        """Go to a checkpoint, in the folder too, or to the beginning if there is none."""
        self.folder.cut_metrics(checkpoint.line if checkpoint else None)
        self.stand_at(checkpoint)

    def stand_at(self, checkpoint: Checkpoint | None) -> None:
        """Go to a checkpoint, or to the beginning, in memory alone; write nothing."""
        self.best.forget()
        self.saved = -math.inf
        self.line = checkpoint.line if checkpoint else None
        self.state = checkpoint.loop if checkpoint else LoopState()
        self.sums = checkpoint.sums if checkpoint else Sums()
        self.steps = stand_at(self.resolved, self.backend, self.data, checkpoint)
        self.steps.refill_cache(self.state.step)

    @property
    def trainer(self) -> Trainer:
        """Return the trainer of the current stage."""
        return self.steps.trainer

    def run(self) -> FinishedTraining:
        """Train until the last epoch, the end of patience or a stop; return what was trained.

        Raises:
            StopRequested: A stop was requested; everything was saved.
            CheckFailed: A loss, a gradient or a weight is not finite.
        """
        try:
            self.train()
        except NonFinite as problem:
            # One trainer at a time: the search builds its own.
            self.steps.free()
            checkpoint, taken = self.folder.read_checkpoint(), (self.backend, self.data)
            raise find_non_finite(self.resolved, *taken, checkpoint, problem) from None
        return self.finished()

    def train(self) -> None:
        """Take the steps that are left of every stage and epoch; a stop leaves a checkpoint."""
        try:
            for stage in self.stages_left():
                self.enter(stage)
                for epoch in self.epochs_left(stage):
                    self.begin_epoch(epoch)
                    for batch in self.batches_left():
                        self.steps.take(batch, self.state)
                        self.after_step()
                    self.end_epoch()
        except StopRequested:
            # A save that was due at this very step has just happened.
            if self.state.step != self.saver.last_step:
                self.save()
            raise

    def stages_left(self) -> list[Stage]:
        """Return the stages with an epoch that is not over."""
        return [stage for stage in self.spec.stages if stage.last_epoch >= self.state.next_epoch]

    def epochs_left(self, stage: Stage) -> Iterator[int]:
        """Yield the running epoch, and those after it until patience ends."""
        while self.state.next_epoch <= stage.last_epoch and not self.has_lost_patience:
            yield self.state.next_epoch

    def batches_left(self) -> Iterator[Batch]:
        """Return the batches of the running epoch that no step has taken."""
        done = self.state.step - self.first_step_of_epoch()
        return self.steps.batches(self.state.epoch - 1, done)

    @property
    def has_lost_patience(self) -> bool:
        """Say if early stopping ends the run, which it can only do in the last stage."""
        is_last = self.steps.stage == self.spec.stages[-1]
        return is_last and self.state.has_lost_patience(self.spec.early_stopping.patience)

    def enter(self, stage: Stage) -> None:
        """Begin a stage after another one has ended, with the weights that it leaves."""
        if stage != self.steps.stage:
            weights = handed_on(self.steps)
            self.frozen.write(self.folder.stage_end(self.steps.stage.name), weights, self.texts)
            self.steps.free()
            self.steps = StageSteps(self.resolved, stage, self.backend, self.data, weights)
            # The best epoch and the patience belong to the last stage, so both start again.
            self.state = LoopState(
                epoch=self.state.epoch, step=self.state.step, seconds=self.state.seconds
            )

    def begin_epoch(self, epoch: int) -> None:
        """Start the epoch, or go on with it after a resume, and start its clock."""
        if not self.state.is_in_epoch:
            self.state.epoch, self.state.is_in_epoch = epoch, True
            self.state.seconds["train"], self.sums = 0.0, Sums()
            # Asked before the first step: an epoch that fills the store has filled it at its end.
        self.was_kept = self.steps.has_kept_all
        self.epoch_clock = EpochClock(self.state.seconds["train"])
        self.report(self.steps.describe(self.state.step, 0.0))

    def after_step(self) -> None:
        """Check losses now and then, report, save if a save is due, and stop if asked to."""
        if self.state.step % STEPS_BETWEEN_CHECKS == 0:
            self.collect()
        if self.epoch_clock.count(self.steps.batch_size(self.state.step - 1)):
            self.report(self.steps.describe(self.state.step, self.epoch_clock.images_per_second))
        self.state.seconds["train"] = self.epoch_clock.seconds
        is_due = self.saver.is_due(self.state.step, self.epoch_clock.now)
        is_due, is_agreed = self.ranks.decide(is_due=is_due, interruption=self.interruption)
        if is_due:
            self.save()
        self.interruption.check(is_agreed=is_agreed)

    def end_epoch(self) -> None:
        """Validate, write checkpoints, and add one line of metrics."""
        self.collect()
        if self.resolved.method.fits_head:
            # Anew: an interrupted evaluation comes here again after the resume.
            self.sums = Sums()
            means = fit_head(self.steps, self.supervision, is_chosen=self.chooses_epoch)
            self.sums.add(means, self.state.step)
        # Collected first: it waits for the device, whose work belongs to the training seconds.
        self.state.seconds["train"] = self.epoch_clock.stop()
        trained = time.perf_counter()
        metrics = {f"train/{name}": value for name, value in self.sums.means().items()}
        with judged(self.steps) as averages:
            parts = (self.trainer, self.data.val, self.steps.kept_val)
            metrics |= judge_validation(self.supervision, *parts)
        evaluated = time.perf_counter()
        seconds = evaluated - trained
        line = describe_epoch(self.state, self.steps, metrics, seconds, was_kept=self.was_kept)
        self.close_epoch(metrics, line, averages)
        line["epoch_seconds"] += time.perf_counter() - evaluated
        self.folder.append_metrics(line)
        told = {"event": "epoch", "backend": self.spec.backend, "num_epochs": self.spec.num_epochs}
        self.report(cast(Event, told | line))

    def close_epoch(
        self, metrics: Mapping[str, float], line: dict[str, Any], averages: Weights
    ) -> None:
        """Judge the epoch and save it: the checkpoint holds all of the epoch or none of it.

        If the run keeps averages (`Weights`), these are the best weights; the last ones never are.

        Files that a resume does not read are written first. If the process dies before the
        checkpoint is written, the resumed run takes the epoch again and writes the same.
        """
        # Without a metric to judge by, every epoch is better than the one before, so that the last
        # one is kept.
        judged = metrics if self.chooses_epoch else {}
        is_best = self.state.judge(judged, self.spec.early_stopping)
        self.state.is_in_epoch, self.line = False, line
        if self.can_wait():
            if is_best:
                moving = self.trainer.weights(moving_names(self.steps.network))
                self.best.copy({**moving, **averages}, self.state.epoch)
            return
        weights = self.trainer.weights()
        if is_best:
            self.best.note({**weights, **averages}, self.state.epoch)
        self.frozen.write(self.folder.last, weights, {"epoch": str(self.state.epoch), **self.texts})
        self.save()

    def can_wait(self) -> bool:
        """Say if this epoch need not be written: one on kept values takes less than a write."""
        is_recent = time.monotonic() - self.saved < SECONDS_BETWEEN_SAVES
        is_end = self.has_lost_patience or self.state.epoch == self.steps.stage.last_epoch
        return self.steps.needs_no_images and is_recent and not is_end

    def collect(self) -> None:
        """Fetch the device's totals and refuse a non-finite loss.

        Raises:
            NonFinite: Names the first step with such a loss.
        """
        metrics = self.ranks.pool_metrics(self.trainer.metrics())
        bad_step = int(metrics.pop("bad_step"))
        # The device counts from the last fetch; -1 stands for none.
        if bad_step >= 0:
            raise NonFinite(self.sums.steps + bad_step + self.first_step_of_epoch())
        self.sums.add(metrics, self.state.step - self.first_step_of_epoch())

    def first_step_of_epoch(self) -> int:
        """Return the index of the current epoch's first step, counted from 0 over the run."""
        return (self.state.epoch - 1) * self.data.train.num_batches

    def save(self) -> None:
        """Write the checkpoint to resume from, unless a value in it is not finite.

        Raises:
            NonFinite: The former checkpoint is kept.
        """
        checkpoint = self.snapshot()
        check_finite(checkpoint, self.sums.steps + self.first_step_of_epoch(), self.state.step)
        # The checkpoint comes last: everything that it refers to is on the disk by then.
        self.best.write(checkpoint.weights)
        self.folder.write_checkpoint(checkpoint, self.frozen)
        self.saver.saved(self.state.step)
        self.interruption.has_unsaved = False
        self.saved = time.monotonic()

    def snapshot(self) -> Checkpoint:
        """Return everything that a resume needs; wait for the device."""
        self.clock.settle(self.state.seconds)
        return Checkpoint(
            loop=self.state,
            sums=self.sums,
            line=self.line,
            weights=self.trainer.weights(),
            trainer_state=self.trainer.state(),
            counts=self.ranks.pool_counts(self.trainer.counts()),
        )

    def finished(self) -> FinishedTraining:
        """Hand over what was trained, with the weights of the best epoch."""
        return FinishedTraining(
            run=self.resolved,
            backend=self.backend,
            data=self.data,
            steps=self.steps,
            state=self.state,
            weights={**self.trainer.weights(), **self.best.read()},
            epoch_choice=self.spec.early_stopping.metric if self.chooses_epoch else "last",
            clock=self.clock,
        )
