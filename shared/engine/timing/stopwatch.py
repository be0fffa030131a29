"""Timing of one program in one process: raw samples, each with the device drained.

Medians, ratios and verdicts are computed elsewhere (shared/analysis/timing/samples.py), so that
they can be computed again from the stored file.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from poc.shared.data.batches.pipeline import Batch, Pipeline
from poc.shared.engine.backend import Backend
from poc.shared.engine.folder.loop_state import LoopState
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.machine.environment import describe_machine, thread_variables
from poc.shared.engine.machine.peak_memory import own_peak_bytes
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.run_data import RunData
from poc.shared.engine.training.loop import TrainingLoop
from poc.shared.engine.training.stage import StageSteps
from poc.shared.engine.training.supervision import Supervision
from poc.shared.engine.worker.operations import RateFacts, RunFields, TimingSamples
from poc.shared.errors import CheckFailed
from poc.shared.spec.bench import Side, Turn
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec

Clock = Callable[[], float]
# Evaluations are repeated until they reach this number and this time together. The same number
# before them is not counted: the first dozen of a small net take up to twice as long as the rest.
NUM_EVALUATIONS, EVALUATION_SECONDS = 10, 1.0
# Epochs are repeated up to this number, or until they take this time together.
MAX_EPOCHS, EPOCH_SECONDS = 5, 10.0


class TimedSide:
    """Program that is timed in this process, from its first step to an epoch.

    Its steps are taken in turns. Between two turns the processes of other sides take theirs, so
    that all sides are timed under the same load of the machine.
    """

    def __init__(
        self,
        backend: Backend,
        run: RunFields,
        side: Mapping[str, object],
        clock: Clock = time.perf_counter,
    ) -> None:
        self.run, self.data = resolve(RunSpec.parse(dict(run), ""))
        self.spec, self.backend = self.run.spec, backend
        backend.prepare(self.spec)
        # Read before the steps: the load of the last minute then comes from other programs.
        self.load_before = os.getloadavg()[0]
        self.open = ExitStack()
        self.open.enter_context(self.data)
        folder = self.open.enter_context(tempfile.TemporaryDirectory())
        watched = Supervision(folder=RunFolder.create(folder + "/run"))
        loop = TrainingLoop(self.run, backend, self.data, watched)
        slowdown = Side.model_validate(side).slowdown
        self.stopwatch = Stopwatch(loop.steps, loop.state, clock, slowdown)
        self.seconds: dict[str, list[float]] = {
            "build": [loop.state.seconds["build"]],
            "first_step": [self.stopwatch.loop_step()],
            "step": [],
            "bare_step": [],
        }

    def take_turn(self, turn: Turn) -> None:
        """Time the steps of a turn, after some that are not counted.

        Raises:
            CheckFailed: A program was compiled again while the clock ran.
        """
        for row, samples in self.stopwatch.steps(turn).items():
            self.seconds[row] += samples

    def finish(self) -> TimingSamples:
        """Time everything except steps, and return every sample of this process.

        Returns:
            `seconds`: row -> samples in seconds; peaks of memory in bytes, `environment`, `load`,
            and the counts from which a report derives rates.
        """
        with self.open:
            self.seconds |= {
                "evaluation_batch": self.stopwatch.evaluations(
                    self.data.val or self.data.test or self.data.train
                ),
                "pipeline_epoch": [self.stopwatch.pipeline_epoch()],
                "epoch": self.stopwatch.epochs(),
            }
        return {
            "seconds": self.seconds,
            **count(self.run, self.data),
            "matmul_flops_per_second": self.backend.measure_matmul_flops(self.spec),
            "peak_memory_bytes": own_peak_bytes(),
            "peak_device_bytes": self.backend.peak_device_bytes(self.spec),
            "environment": self.environment(),
            "load": [self.load_before, os.getloadavg()[0]],
        }

    def environment(self) -> dict[str, object]:
        """Return machine, versions, threads, and the layout if it is not the usual one."""
        layout = self.spec.layout
        return {
            **describe_machine(),
            **self.backend.describe(self.spec),
            **thread_variables(),
            **({"layout": layout} if layout != "channels_last" else {}),
        }


def count(run: ResolvedRun, data: RunData) -> RateFacts:
    """Return the counts that turn seconds into rates."""
    spec = run.spec
    return {
        "batch_size": spec.data.batch_size,
        "num_batches": data.train.num_batches,
        "num_images": data.train.examples,
        "macs": run.network.macs,
        "precision": spec.precision,
        "is_deterministic": spec.deterministic,
        "input_shape": list(spec.input_shape or ()),
    }


class Stopwatch:
    """Clock for the steps of one stage, for evaluations, and for epochs.

    Args:
        steps: Steps as the training loop takes them.
        state: State of that loop, which the steps move on.
        clock: Returns seconds.
        slowdown: Share of a loop step's time to wait after it, which proves that the bench
            shows a slower side.
    """

    def __init__(
        self, steps: StageSteps, state: LoopState, clock: Clock, slowdown: float = 0.0
    ) -> None:
        self.taken, self.state, self.clock, self.slowdown = steps, state, clock, slowdown
        self.train, self.trainer = steps.data.train, steps.trainer
        # The update after some batches is part of the cost of each of them.
        self.group = steps.grouping.accumulation_steps
        # Full batches only: a smaller last one would be compiled again and take less time.
        self.batches: Iterator[Batch] = itertools.cycle(full_batches(self.train))

    def loop_step(self) -> float:
        """Return the seconds of one step as a run takes it: noise, rate, tensors, update.

        If several batches make one update, it is the mean of as many steps.
        """
        batches = [next(self.batches) for _ in range(self.group)]
        started = self.clock()
        for batch in batches:
            self.taken.take(batch, self.state)
        self.trainer.wait()
        # A wait and not more work, since it slows every backend by the same share.
        if self.slowdown:
            time.sleep(self.slowdown * (self.clock() - started))
        return (self.clock() - started) / self.group

    def bare_step(self) -> float:
        """Return the seconds of the same update on tensors that were made before."""
        steps = [self.prepare_step(self.state.step + index) for index in range(self.group)]
        # The tensors must have reached the device before the clock starts.
        self.trainer.wait()
        started = self.clock()
        for step in steps:
            step()
        self.trainer.wait()
        return (self.clock() - started) / self.group

    def prepare_step(self, step: int) -> Callable[[], None]:
        """Return a step, with its arguments in the memory that the device reads."""
        steps, batch = self.taken, next(self.batches)
        noise, extras = steps.inputs(batch, step)
        return self.trainer.prepared_step(
            steps.given_images(batch), batch.learned, steps.rate(step), noise, extras
        )

    def steps(self, turn: Turn) -> dict[str, list[float]]:
        """Return samples of loop steps and bare steps in turn, after some that are not counted.

        Each timed pair is one step of the training loop and one bare framework step on tensors
        that are already on the device, so that both run under the same load. Pairs are taken
        until the turn has its number of steps, and its seconds of loop steps.

        Raises:
            CheckFailed: A program was compiled again meanwhile.
        """
        for _ in range(turn.warmup_steps):
            self.loop_step(), self.bare_step()
        before = self.trainer.num_compilations
        samples: dict[str, list[float]] = {"step": [], "bare_step": []}
        taken = samples["step"]
        while len(taken) < turn.timed_steps or sum(taken) < turn.timed_seconds:
            pair = [("step", self.loop_step), ("bare_step", self.bare_step)]
            # The order alternates, so that neither always profits from the other's warm caches.
            for name, run in reversed(pair) if len(taken) % 2 else pair:
                samples[name].append(run())
        self.trainer.metrics()
        if (after := self.trainer.num_compilations) != before:
            raise CheckFailed(
                f"Got {after - before} programs that were compiled while steps were timed, so that "
                "the samples are not steady. Expected none. Try giving every batch the same size "
                "(data.drop_last=true)."
            )
        return samples

    def evaluations(self, pipeline: Pipeline) -> list[float]:
        """Return samples of the logits of one full batch, without compiling and warming up."""
        images = full_batches(pipeline)[0].images

        def take() -> list[float]:
            samples: list[float] = []
            while len(samples) < NUM_EVALUATIONS or sum(samples) < EVALUATION_SECONDS:
                started = self.clock()
                self.trainer.logits(images)
                samples.append(self.clock() - started)
            return samples

        self.trainer.logits(images)
        take()
        return take()

    def pipeline_epoch(self) -> float:
        """Return the seconds in which the pipeline alone gives an epoch of batches."""
        started = self.clock()
        for _ in self.train.epoch(1):
            pass
        return self.clock() - started

    def epochs(self) -> list[float]:
        """Return seconds of epochs without validation and checkpoints; only one if it is long.

        A last batch of another size is compiled before, as it is after the first epoch of a run.
        """
        for batch in self.train.epoch(2, self.train.num_batches - 1):
            self.taken.take(batch, self.state)
        self.trainer.wait()
        samples = [self.epoch()]
        while len(samples) < MAX_EPOCHS and sum(samples) < EPOCH_SECONDS:
            samples.append(self.epoch())
        return samples

    def epoch(self) -> float:
        """Return the seconds of one epoch."""
        started = self.clock()
        for batch in self.train.epoch(2):
            self.taken.take(batch, self.state)
        # It waits for the device, as the loop does at the end of an epoch.
        self.trainer.metrics()
        return self.clock() - started


def full_batches(pipeline: Pipeline, limit: int = 50) -> list[Batch]:
    """Return the first `limit` batches, without a smaller last one."""
    batches = list(itertools.islice(pipeline.epoch(0), limit))
    size = len(batches[0].images)
    return [batch for batch in batches if len(batch.images) == size]
