"""The steps of one stage: a trainer, and the arguments of each of its steps."""

import gc
import time
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Batch, Pipeline
from poc.shared.data.views.normalization import Images
from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.console.work_count import Event
from poc.shared.engine.folder.checkpoints import Checkpoint
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.numerics.noise import Noise
from poc.shared.engine.ranks.parts import draw_part, share_numbers
from poc.shared.engine.ranks.ranks import own_counts
from poc.shared.engine.run_data import RunData
from poc.shared.engine.step_numbers import step_numbers
from poc.shared.engine.teacher import starting_weights, step_coefficients
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.accumulation import Grouping, batch_sizes
from poc.shared.spec.training.schedules import learning_rate
from poc.shared.spec.training.stages import Stage, find_stage

from .cache_plan import keep_for_training, keep_frozen_part
from .output_cache import KeptOutputs


class StageSteps:
    """A fresh trainer and optimiser for one stage of a run, and its batches, noise and rates.

    Args:
        run: Resolved spec of the entire run.
        stage: One of its stages; the data are shown as this stage sees them.
        backend: The backend of the run.
        data: The run's opened data.
        weights: Weights that a former stage has trained; {} for the first stage.
    """

    def __init__(
        self, run: ResolvedRun, stage: Stage, backend: Backend, data: RunData, weights: Weights
    ) -> None:
        self.whole_run, self.stage, self.data = run, stage, data
        self.run = run.at_stage(stage.name)
        data.show(self.run.spec)
        self.network = self.run.trained_network
        # The former stage's weights win over the starting ones, which the new stage's own
        # parameters still need.
        started = {**starting_weights(self.run), **weights}
        self.trainer: Trainer = backend.Trainer(self.run, started)
        # Each rank sees other images in every epoch, so that it would never have kept all.
        is_kept = data.shard.count == 1
        self.kept = keep_for_training(self.run, data.train, started) if is_kept else None
        self.kept_val = self.keep_part(data.val, started)

    def keep_part(self, pipeline: Pipeline | None, weights: Weights) -> KeptOutputs | None:
        """Return the store for values that frozen `Weights` give on an evaluated part, or None."""
        if pipeline is None or self.data.shard.count > 1:
            return None
        return keep_frozen_part(self.run, pipeline, weights, is_training=False)

    def free(self) -> None:
        """Free the memory of the trainer and of kept values, before another stage takes its own."""
        del self.trainer
        self.kept = self.kept_val = None
        # Compiled steps refer to their trainer: it goes with a collection alone.
        gc.collect()

    @property
    def first_step(self) -> int:
        """Return the index of the first step, counted over the entire run."""
        return (self.stage.first_epoch - 1) * self.data.train.num_batches

    @property
    def num_updates(self) -> int:
        """Return the number of updates of this stage: of steps, unless several make one."""
        return self.stage.num_epochs * self.grouping.num_updates

    @cached_property
    def grouping(self) -> Grouping:
        """Return the batches of an epoch in the groups that make one update each."""
        train, size = self.data.train, self.run.spec.data.batch_size
        return Grouping(
            sizes=batch_sizes(train.examples, size, train.num_batches),
            accumulation_steps=self.run.spec.optimizer.accumulation_steps,
        )

    def update_of(self, step: int) -> int:
        """Return the index of a step's update in this stage, from 0."""
        return self.grouping.update_of(step) - self.grouping.update_of(self.first_step)

    def group_labels(self, step: int) -> NDArray[np.int64]:
        """Return the labels (N,) of all examples of a step's update, of its other batches too.

        A loss that divides by a mean over labels takes the mean over these. No image is read.
        """
        epoch, position = divmod(step, self.data.train.num_batches)
        group = self.grouping.group_of(position)
        return np.concatenate([self.data.train.batch_labels(epoch, each) for each in group])

    def batch_size(self, step: int) -> int:
        """Return the number of examples of a step's batch, over all ranks."""
        return self.grouping.sizes[step % len(self.grouping.sizes)]

    @property
    def needs_no_images(self) -> bool:
        """Say if kept outputs replace the images; a teacher's outputs are only added to them."""
        return self.kept is not None and self.whole_run.spec.teacher is None

    @property
    def has_kept_all(self) -> bool:
        """Say if all values that the run keeps exist already."""
        return self.kept is not None and self.kept.is_whole

    def batches(self, epoch: int, first: int, end: int | None = None) -> Iterator[Batch]:
        """Yield training batches of one epoch, counted from 0, from position `first` to `end`.

        They hold no images if all that is needed of these is kept.
        """
        train = self.data.train
        read = train.labelled if self.needs_no_images and self.has_kept_all else train.epoch
        for position, batch in enumerate(read(epoch, first), start=first):
            yield batch
            # Asked after the yield, so that the reader is closed before it fetches one batch more.
            if end is not None and position + 1 >= end:
                return

    def take(self, batch: Batch, state: LoopState, rate: float | None = None) -> None:
        """Learn from one batch, at the schedule's rate if none is given.

        Labels are (N,) int64, or soft (N, num_classes) float32.
        """
        rate = self.rate(state.step, state.rate_factor) if rate is None else rate
        images, labels = self.given_images(batch), batch.learned
        noise, extras = self.inputs(batch, state.step)
        started = time.perf_counter()
        # Its features are kept now, from which the head is fitted when all are there.
        if not self.run.method.fits_head:
            self.trainer.step(images, labels, rate, noise, extras)
        if state.step == 0:
            # The one step that is waited for: it compiles, and its time is a column of the row.
            self.trainer.wait()
            state.seconds["first_step"] = time.perf_counter() - started
        state.step += 1

    def describe(self, step: int, images_per_second: float) -> Event:
        """Return an event: the current step, or how many of the values to keep exist so far."""
        if self.kept is not None and not self.kept.is_whole:
            text = "computing the outputs of frozen layers, once per image"
            done, total = self.kept.num_kept, self.kept.num_images
            return {"event": "work", "text": text, "done": done, "total": total}
        steps = self.whole_run.spec.num_epochs * self.data.train.num_batches
        return {
            "event": "step",
            "step": step,
            "num_steps": steps,
            "images_per_second": images_per_second,
        }

    def given_images(self, batch: Batch) -> Images:
        """Return images (N, H, W, C) for a step, or (N, 0, 0, C) if kept outputs replace them."""
        return batch.images[:, :0, :0] if self.needs_no_images else batch.images

    def inputs(self, batch: Batch, step: int) -> tuple[Noise, Arrays]:
        """Return a step's further arguments: masks (N, …), and kept outputs with coefficients."""
        seed, shard = self.whole_run.spec.seed, self.data.shard
        size = len(batch.images) if shard.count == 1 else self.batch_size(step)
        part, update = self.grouping.part_of(step), self.update_of(step)
        number = self.grouping.update_of(step)
        noise = draw_part(self.network, shard, size, seed=seed, step=number, first=part.first)
        # From 0 at the first update to 1 at the last; a stage of one update stays at 0. A sweep of
        # the rate may take more steps than the stage has.
        progress = min(update / max(self.num_updates - 1, 1), 1.0)
        numbers = step_numbers(self.run, part, update) | share_numbers(size, shard)
        labels, is_part = batch.learned, self.grouping.accumulation_steps > 1 or shard.count > 1
        if is_part and labels.ndim == 1:
            labels = self.group_labels(step)
        coefficients = step_coefficients(self.whole_run, progress, labels)
        return noise, coefficients | numbers | self.look_up(batch)

    def look_up(self, batch: Batch) -> Arrays:
        """Return kept outputs (N, …) for this batch, computed when its images are first seen."""
        if self.kept is None:
            return {}
        return self.kept.look_up(batch.indices, batch.images, self.trainer.teacher_outputs)

    def rate(self, step: int, factor: float = 1.0) -> float:
        """Return the learning rate of a step, times `factor`; each stage runs the full schedule.

        All steps of an update have its rate.
        """
        base = self.run.spec.optimizer.learning_rate * factor
        update = self.update_of(step)
        return learning_rate(self.run.spec.schedule, base, update, self.num_updates)

    def refill_cache(self, end: int) -> None:
        """Compute the kept outputs of the steps before `end` again, in the same batches.

        A batch of other members would round differently, and a resume must repeat every bit.
        """
        step, steps = self.first_step, self.data.train.num_batches
        while self.kept and step < end and not self.kept.is_whole:
            epoch = step // steps
            for batch in self.batches(epoch, 0, min(steps, end - step)):
                self.look_up(batch)
            step = (epoch + 1) * steps


def stand_at(
    run: ResolvedRun, backend: Backend, data: RunData, checkpoint: Checkpoint | None
) -> StageSteps:
    """Return the steps of the stage that a checkpoint is in, ready for the next step.

    Args:
        run: Resolved run.
        backend: The backend of the run.
        data: The run's opened data.
        checkpoint: The checkpoint to go on from; none: the run begins.
    """
    if checkpoint is None:
        return StageSteps(run, run.stages[0], backend, data, {})
    stage = find_stage(run.stages, checkpoint.loop.epoch)
    steps = StageSteps(run, stage, backend, data, checkpoint.weights)
    steps.trainer.restore(checkpoint.trainer_state)
    steps.trainer.restore_counts(own_counts(checkpoint.counts, data.shard))
    return steps
