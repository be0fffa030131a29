"""The parity ladder: do the two backends compute the same, rung by rung?

parameters -> weights -> logits -> loss and every gradient -> optimiser steps across a rate drop.
Finite first, then close; a tolerance stands beside its reason and is never raised for flakiness.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.resizing import resize_matrices
from poc.shared.engine.source_network import starting_weights
from poc.shared.errors import UsageError
from poc.shared.spec.initializers import Weights
from poc.shared.spec.methods import find_method
from poc.shared.spec.precision import EXACT
from poc.shared.spec.run import RunSpec

from .rungs import LOSS, Arrays, Rung, compare, describe, differing_rows, relative_error, split

DITHER = 0.05
# Small in float32, where a trajectory amplifies rounding; float64 is what discriminates.
RATES = {
    "float64": {"adam": 1e-3, "sgd": 1e-2},
    "float32": {"adam": 1e-4, "sgd": 1e-4},
}
NUM_PROBES = 12
# A brief climb meets images that nobody chose. Where a bias acts on a batch norm alone, because no
# unit of its channel is at rest, its gradient is rounding (2e-14 where measured), which Adam
# divides by 1e-8.
NUM_BRIEF_STEPS, BRIEF_TOLERANCE = 5, 1e-6
# Fewer examples, fewer units near a kink.
NUM_PROBED = 16
Batch = dict[str, NDArray[Any]]
Evaluate = Callable[["Caller", str, Sequence[Batch]], "Arrays"]


class Caller(Protocol):
    """What the ladder needs of a worker."""

    def call(self, operation: str, **arguments: Any) -> Any:
        """Run one operation in the backend's process."""


@dataclass(frozen=True)
class Tolerances:
    """Largest relative errors of each rung.

    float64 leaves rounding alone: what is not below 1e-9 is another formula. float32 allows for
    sums taken in another order, which grow along a trajectory.
    """

    logits: float
    gradients: float
    steps: float
    num_steps: int


TOLERANCES = {
    "float64": Tolerances(logits=1e-10, gradients=1e-10, steps=1e-9, num_steps=50),
    "float32": Tolerances(logits=1e-5, gradients=1e-4, steps=1e-3, num_steps=20),
}


class Ladder:
    """Climbs the rungs for one run; `first` and `second` are the two backends' workers.

    `changes` are fields of the run that one backend alone sees. Steps are taken with every update
    rule; with `is_brief` a few, with the run's own.

    Raises:
        UsageError: The run's precision is one in which other programs look the same.
    """

    def __init__(
        self,
        run: RunSpec,
        first: Caller,
        second: Caller,
        changes: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        *,
        is_brief: bool = False,
    ) -> None:
        if run.precision not in TOLERANCES:
            raise UsageError(
                f"received the precision {run.precision!r}, which rounds too coarsely to tell two "
                f"programs apart; allowed for parity are {', '.join(EXACT)}: leave precision out "
                "here, and train with it by poc run"
            )
        self._run, self._workers, self._changes = run, (first, second), changes
        self._is_brief = is_brief
        self._network = run.trained_network
        self._spec = run.model_dump(mode="json")
        self._tolerances = TOLERANCES[run.precision]
        if is_brief:
            tolerance = max(self._tolerances.steps, BRIEF_TOLERANCE)
            self._tolerances = replace(self._tolerances, steps=tolerance, num_steps=NUM_BRIEF_STEPS)

    def climb(self, batches: Sequence[Batch]) -> list[Rung]:
        """Every rung of every stage; `batches` hold `images` and `labels`."""
        stages = self._run.stages
        if len(stages) == 1 or self._run.stage:
            return self.climb_stage(batches)
        return [
            replace(rung, name=f"{stage.name}: {rung.name}")
            for stage in stages
            for rung in self.at_stage(stage.name).climb(batches)
        ]

    def at_stage(self, name: str) -> "Ladder":
        """The ladder of one stage."""
        return Ladder(
            self._run.at_stage(name),
            *self._workers,
            self._changes,
            is_brief=self._is_brief,
        )

    def climb_stage(self, batches: Sequence[Batch]) -> list[Rung]:
        """Every rung, the cheap ones first."""
        weights = self.perturbed_weights()
        batches = [fit(batch, self._network.input_shape) for batch in batches]
        rungs = [self.compare_parameters()]
        if not rungs[0].is_passed:
            return rungs
        if self._run.precision == "float32":
            batches = [{key: value[:NUM_PROBED] for key, value in b.items()} for b in batches]
        rungs.append(self.compare_logits(weights, self.dithered(batches[0], 0)))
        rungs.extend(self.compare_gradients(weights, batches[:1]))
        for optimizer in self.optimizers():
            rungs.extend(self.compare_steps(optimizer, weights, batches))
        return rungs

    def optimizers(self) -> list[str]:
        """Update rules that are compared: those that the method can take."""
        allowed = find_method(self._run.method).optimizers
        names = [name for name in RATES[self._run.precision] if name in allowed or not allowed]
        own = self._run.optimizer.name
        return [own] if self._is_brief and own in names else names

    def on_smooth_batches(
        self, evaluate: Evaluate, batches: Sequence[Batch], tolerance: float
    ) -> list[Arrays]:
        """Both backends' values on dithered batches where their precision can be judged.

        Where a unit sits within rounding of a ReLU's or a max-pool's kink, float32 may fall on
        either side. Batches are taken when each backend's float32 values agree with its own
        float64 ones; the other backend is not asked, so the choice hides no difference.
        """
        for probe in range(NUM_PROBES):
            candidates = [self.dithered(b, len(batches) * probe + i) for i, b in enumerate(batches)]
            values = [evaluate(worker, self._run.precision, candidates) for worker in self._workers]
            if self._run.precision == "float64":
                break
            doubles = [evaluate(worker, "float64", candidates) for worker in self._workers]
            pairs = zip(values, doubles, strict=True)
            if all(compare("probe", pair, tolerance).is_passed for pair in pairs):
                break
        return values

    def dithered(self, batch: Batch, index: int) -> Batch:
        """Real images plus faint noise.

        Plain backgrounds make exact ties in max-pools, where the gradient is not defined and the
        last bit of a sum decides which pixel gets it.
        """
        images = batch["images"]
        generator = np.random.default_rng([self._run.seed, index])
        noise = generator.normal(0.0, DITHER * float(images.std()), images.shape)
        return {**batch, "images": (images + noise).astype(np.float32)}

    def perturbed_weights(self) -> Weights:
        """Initial weights moved off their special values, so that every parameter acts.

        A zero bias, a unit gamma, a zero running mean or a zero kernel would hide a dropped or
        swapped tensor.
        """
        generator = np.random.default_rng(self._run.seed)
        weights = starting_weights(self._run)
        for name, value in weights.items():
            if not name.endswith("/kernel") or not value.any():
                shift = generator.uniform(0.0, 0.1, value.shape).astype(np.float32)
                weights[name] = value + shift.astype(np.float64)
        return weights

    def compare_parameters(self) -> Rung:
        """Names, order, shapes and roles; against each other and against the declared network."""
        tables = [self._call(worker, "parameters") for worker in self._workers]
        declared = [describe(parameter) for parameter in self._network.parameters]
        wrong = [name for table in tables for name in differing_rows(declared, table)]
        return Rung("parameters", wrong[0] if wrong else "", len(wrong), 0, len(declared))

    def compare_logits(self, weights: Weights, batch: Batch) -> Rung:
        """Evaluation mode; a breach names the first layer whose output differs."""
        values = self._both("logits", weights=weights, images=batch["images"])
        rung = compare("logits", [{"logits": value} for value in values], self._tolerances.logits)
        if rung.is_passed:
            return rung
        return replace(rung, worst=self.first_difference(weights, batch))

    def first_difference(self, weights: Weights, batch: Batch) -> str:
        """Name of the first layer, in the order of computation, whose output differs."""
        names = [node.name for node in self._run.network.nodes]
        maps = self._both("features", weights=weights, images=batch["images"][:2], taps=names)
        for name in names:
            error = relative_error(maps[0][name], maps[1][name])
            if not error <= self._tolerances.logits:
                return name
        return "logits"

    def compare_gradients(self, weights: Weights, batches: Sequence[Batch]) -> list[Rung]:
        """Loss and gradients of one batch in training mode, noise on."""

        def evaluate(worker: Caller, precision: str, candidates: Sequence[Batch]) -> Arrays:
            result = self._call(
                worker, "loss_and_gradients", precision, weights=weights, batch=candidates[0]
            )
            return {LOSS: np.asarray(result["loss"]), **result["gradients"]}

        values = self.on_smooth_batches(evaluate, batches, self._tolerances.gradients)
        return [
            compare("loss", [split(value)[0] for value in values], self._tolerances.logits),
            compare("gradients", [split(value)[1] for value in values], self._tolerances.gradients),
        ]

    def compare_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> list[Rung]:
        """Real training steps across a drop of the learning rate: losses, then weights."""
        count, tolerance = self._tolerances.num_steps, self._tolerances.steps
        base = RATES[self._run.precision][optimizer]
        rates = [base if step < count // 2 else base / 10 for step in range(count)]

        def evaluate(worker: Caller, precision: str, candidates: Sequence[Batch]) -> Arrays:
            result = self._call(
                worker,
                "train_steps",
                precision,
                optimizer=optimizer,
                weights=weights,
                batches=list(candidates),
                learning_rates=rates,
            )
            losses = {f"{LOSS} {step}": np.asarray(v) for step, v in enumerate(result["losses"])}
            return {**losses, **self.judged_weights(precision, result["weights"])}

        values = self.on_smooth_batches(evaluate, batches, tolerance)
        name = f"{count} {optimizer} steps"
        return [
            compare(f"{name}: losses", [split(value)[0] for value in values], tolerance),
            compare(f"{name}: weights", [split(value)[1] for value in values], tolerance),
        ]

    def judged_weights(self, precision: str, weights: Weights) -> Weights:
        """All of them; in float32 without what is trained outside the network.

        Adam's first steps on it follow the sign of a hyper-gradient that float32 cannot tell.
        """
        outside = {p.name for p in self._run.meta_parameters} if precision == "float32" else set()
        return {name: value for name, value in weights.items() if name not in outside}

    def _both(self, operation: str, **arguments: Any) -> list[Any]:
        return [self._call(worker, operation, **arguments) for worker in self._workers]

    def _call(
        self,
        worker: Caller,
        operation: str,
        precision: str | None = None,
        optimizer: str | None = None,
        **arguments: Any,
    ) -> Any:
        backend = "tf" if worker is self._workers[0] else "torch"
        run = {**self._spec, "backend": backend, **self._changes.get(backend, {})}
        run["precision"] = precision or self._run.precision
        run["optimizer"] = {**run["optimizer"], **({"name": optimizer} if optimizer else {})}
        return worker.call(operation, run=run, **arguments)


def fit(batch: Batch, shape: tuple[int, ...]) -> Batch:
    """The batch with its images at the size of a stage that has one of its own."""
    matrices = resize_matrices(batch["images"].shape[1:3], shape)
    if matrices is None:
        return batch
    rows, columns = matrices
    images = np.einsum("hi,wj,nijc->nhwc", rows, columns, batch["images"], optimize=True)
    return {**batch, "images": images.astype(np.float32)}
