"""Operations of a worker, as `shared/engine/worker/operations.py` declares them."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.backend import Backend
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.machine.environment import cuda_libraries
from poc.shared.engine.machine.limits import bounded_time
from poc.shared.engine.numerics.noise import Noise, draw_noise
from poc.shared.engine.ranks.parts import draw_part, share_numbers
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.step_numbers import group_batches, inputs_of_step
from poc.shared.engine.summary.fixres_columns import measure_latency
from poc.shared.engine.teacher import step_coefficients
from poc.shared.engine.timing.stopwatch import TimedSide
from poc.shared.engine.worker.operations import (
    BatchArrays,
    ChannelScores,
    ExportedSize,
    LossAndGradients,
    Operations,
    ParameterRow,
    RunFields,
    SweptRates,
    TakenSteps,
    TimingSamples,
    describe_parameter,
)
from poc.shared.files.arrays import Arrays
from poc.shared.spec.bench import Turn
from poc.shared.spec.methods.distilling import default_taps
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.folding import fold

from .channel_scores import measure_channel_scores
from .fresh_trainers import FreshTrainers
from .joined_ranks import JoinedRanks
from .rate_sweep import sweep_rates
from .training_run import Job, train
from .trial import try_steps


class ServedOperations(Operations):
    """Operations of one worker process, served by its backend; each public method is one."""

    def __init__(self, backend: Backend, report: Report, import_seconds: float) -> None:
        self._backend, self._report, self._import_seconds = backend, report, import_seconds
        self._trainers, self._joined = FreshTrainers(backend), JoinedRanks()

    def describe(self) -> dict[str, object]:
        """Describe versions, device and switches, and the interpreter that has them."""
        interpreter = {"interpreter": sys.executable, "cuda_libraries": cuda_libraries()}
        # No run is meant: the device is the one that a run takes if nothing names another.
        return {**self._backend.describe(RunSpec.parse({}, "")), **interpreter}

    def parameters(self, *, run: RunFields) -> list[ParameterRow]:
        """Return the parameter table of the built model."""
        resolved = self._prepare(run)
        return [describe_parameter(parameter) for parameter in self._backend.parameters(resolved)]

    def logits(
        self, *, run: RunFields, weights: Weights, images: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of images (N, H, W, C), in evaluation mode."""
        return self._backend.features(self._prepare(run), weights, images, ["logits"])["logits"]

    def features(
        self,
        *,
        run: RunFields,
        weights: Weights,
        images: NDArray[np.floating],
        taps: Sequence[str],
    ) -> dict[str, NDArray[np.floating]]:
        """Compute maps (N, H, W, C) of images (N, H, W, C), in evaluation mode."""
        return self._backend.features(self._prepare(run), weights, images, taps)

    def map_and_gradient(
        self,
        *,
        run: RunFields,
        weights: Weights,
        images: NDArray[np.floating],
        labels: NDArray[np.int64],
        tap: str,
    ) -> dict[str, NDArray[np.floating]]:
        """Compute a `map` (N, h, w, c), and the `gradient` (N, h, w, c) of logits at it."""
        found, gradient = self._backend.map_and_gradient(
            self._prepare(run), weights, images, labels, tap
        )
        return {"map": found, "gradient": gradient}

    def start_predicting(self, *, run: RunFields, weights: Weights) -> None:
        """Build a network from canonical `Weights`; it stays in this process until the next one."""
        # A trainer, since a run evaluates with one: its predictions are the run's to the bit.
        self._predicting = self._backend.Trainer(self._prepare(run), weights)

    def predict_batch(self, *, images: NDArray[np.floating]) -> NDArray[np.floating]:
        """Compute that network's logits (N, num_classes) of images (N, H, W, C)."""
        return self._predicting.logits(images)

    def start_explaining(self, *, run: RunFields, weights: Weights) -> None:
        """Build a network from canonical `Weights` for `explain_batch`; it stays here."""
        self._explaining = self._backend.prepare_map_and_gradient(self._prepare(run), weights)

    def explain_batch(
        self, *, images: NDArray[np.floating], labels: NDArray[np.int64], tap: str
    ) -> dict[str, NDArray[np.floating]]:
        """Compute that network's map and gradient (N, h, w, c) of images (N, H, W, C)."""
        found, gradient = self._explaining(images, labels, tap)
        return {"map": found, "gradient": gradient}

    def loss_and_gradients(
        self, *, run: RunFields, weights: Weights, batch: BatchArrays, step: int = 0
    ) -> LossAndGradients:
        """Compute one batch's loss () and all gradients (…), with the noise of `step`."""
        resolved, images, labels = self._prepare(run), batch["images"], batch["labels"]
        ranks, shard = self._joined.join(self._backend, resolved.spec), self._joined.place.shard
        own, size = shard.read(len(images)), len(images)
        seed, network = resolved.spec.seed, resolved.trained_network
        noise = draw_part(network, shard, size, seed=seed, step=step, first=0)
        extras = step_coefficients(resolved, 0.0, labels) | share_numbers(size, shard)
        loss, gradients = self._backend.loss_and_gradients(
            resolved, weights, images[own], labels[own], noise, extras
        )
        return {"loss": ranks.add(loss), "gradients": gradients}

    def measure_latency(self, *, run: RunFields, weights: Weights, num_images: int = 1) -> float:
        """Measure median seconds for logits (N, num_classes) of N = `num_images` images."""
        resolved = self._prepare(run)
        trainer = self._backend.Trainer(resolved, weights)
        return measure_latency(trainer, resolved.network.input_shape, num_images)

    def hyper_gradients(
        self,
        *,
        run: RunFields,
        weights: Sequence[Weights],
        state: Arrays,
        batch: BatchArrays,
        learning_rate: float,
    ) -> list[LossAndGradients]:
        """Compute outer loss () and hyper-gradient (…) of one batch, for each set of `Weights`."""
        resolved, images, labels = self._prepare(run), batch["images"], batch["labels"]
        noise = noise_of_step(resolved, 0, len(images))
        found = [
            self._backend.hyper_gradient(resolved, one, state, images, labels, learning_rate, noise)
            for one in weights
        ]
        return [{"loss": loss, "gradients": gradients} for loss, gradients in found]

    def channel_scores(
        self, *, run: RunFields, taps: Sequence[str], num_shards: int = 1
    ) -> ChannelScores:
        """Compute the channel-selection statistic of the teacher over the training images."""
        resolved, data = resolve(RunSpec.parse(dict(run), ""), self._note)
        teacher = resolved.teacher_network
        if teacher is None:
            raise ValueError(f"Got method {resolved.spec.method!r}. Expected one with a teacher.")
        self._backend.prepare(resolved.spec)
        taps = list(taps) or default_taps(teacher)
        return measure_channel_scores(
            self._backend, resolved, data, teacher, taps=taps, num_shards=num_shards
        )

    def export(
        self,
        *,
        run: RunFields,
        weights: Weights,
        path: str,
        precision: str,
        calibration: NDArray[np.uint8],
        merges_shortcuts: bool,
    ) -> ExportedSize:
        """Fold trained `Weights` and write them as this backend's file; return its size."""
        resolved = self._prepare(run)
        network, folded = fold(resolved.network, weights, merges_shortcuts=merges_shortcuts)
        export = partial(self._backend.export_network, network, folded, path)
        normalization = resolved.spec.data.normalization
        export(precision=precision, normalization=normalization, calibration=calibration)
        total = sum(parameter.size for parameter in network.parameters)
        return {"exported_parameters": total, "exported_macs": network.macs}

    def read_published(self, *, path: str) -> Arrays:
        """Read arrays (…) of a file in the framework's own format, under its own names."""
        # A hostile file can keep its reader busy for ever (docs/faults.md, untrusted files).
        with bounded_time(Path(path)):
            return self._backend.read_published(path)

    def write_published(self, *, path: str, tensors: Arrays) -> None:
        """Write arrays (…) into a file in the framework's own format."""
        self._backend.write_published(path, tensors)

    def fetch_imagenet(self, *, name: str) -> Arrays:
        """Download ImageNet weights (…) of one of the framework's own models."""
        return self._backend.fetch_imagenet(name)

    def train_steps(
        self,
        *,
        run: RunFields,
        weights: Weights,
        batches: Sequence[BatchArrays],
        learning_rates: Sequence[float],
    ) -> TakenSteps:
        """Step the real trainer from `Weights`, once per learning rate, on the batches in turn."""
        resolved = self._prepare(run)
        ranks, shard = self._joined.join(self._backend, resolved.spec), self._joined.place.shard
        trainer, losses = self._trainers.start(resolved, weights), []
        taken = [batches[step % len(batches)] for step in range(len(learning_rates))]
        grouping = group_batches(resolved, [len(batch["images"]) for batch in taken])
        for step, (batch, rate) in enumerate(zip(taken, learning_rates, strict=True)):
            own = shard.read(len(batch["images"]))
            images, labels = batch["images"][own], batch["labels"][own]
            noise, numbers = inputs_of_step(resolved, grouping, step, shard)
            learned = np.concatenate([taken[each]["labels"] for each in grouping.group_of(step)])
            extras = step_coefficients(resolved, step / max(len(learning_rates) - 1, 1), learned)
            trainer.step(images, labels, rate, noise, extras | numbers)
            losses.append(ranks.pool_metrics(trainer.metrics())["loss"])
        return {"losses": losses, "weights": trainer.weights(), "state": trainer.state()}

    def sweep_rates(self, *, run: RunFields, learning_rates: Sequence[float]) -> SweptRates:
        """Take one step of training at each rate, on the train part alone."""
        spec = RunSpec.parse(dict(run), "")
        return sweep_rates(self._backend, spec, learning_rates, self._report)

    def train(
        self,
        *,
        run: RunFields,
        folder: str,
        command: str,
        save_every: str,
        is_resumed: bool = False,
    ) -> dict[str, object]:
        """Train a run into its folder, or continue it."""
        spec = RunSpec.parse(dict(run), "")
        job = Job(spec, folder, command, save_every, is_resumed)
        return train(job, self._backend, self._report, self._joined, self._import_seconds)

    def try_steps(self, *, run: RunFields, num_steps: int = 2) -> None:
        """Take some steps and an evaluation on noise, to see if a run fits into memory."""
        try_steps(self._backend, self._prepare(run), num_steps)

    def start_timing(self, *, run: RunFields, side: Mapping[str, object]) -> None:
        """Build one side of a bench and take its first step; it stays alive in this process."""
        self._timed = TimedSide(self._backend, run, side)

    def time_steps(self, *, warmup_steps: int, timed_steps: int, timed_seconds: float) -> None:
        """Take one turn of that side."""
        self._timed.take_turn(Turn(warmup_steps, timed_steps, timed_seconds))

    def finish_timing(self) -> TimingSamples:
        """End that side, and return its raw samples."""
        samples = self._timed.finish()
        samples["seconds"]["import"] = [self._import_seconds]
        return samples

    def _prepare(self, run: RunFields) -> ResolvedRun:
        spec = RunSpec.parse(dict(run), "")
        self._backend.prepare(spec)
        return resolve_networks(spec)

    def _note(self, text: str) -> None:
        self._report({"event": "note", "text": text})


def noise_of_step(run: ResolvedRun, step: int, batch_size: int) -> Noise:
    """Draw the masks of one step: layer name -> mask (batch_size, …), or (1,) for a gate."""
    return draw_noise(run.trained_network, seed=run.spec.seed, step=step, batch_size=batch_size)
