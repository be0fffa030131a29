"""The parity ladder: do the two backends compute the same, rung by rung?

parameters -> weights -> logits -> loss and every gradient -> optimiser steps across a rate drop.
Finite first, then close; a tolerance stands beside its reason and is never raised for flakiness.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.operations import describe_parameter
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import BACKENDS, RunSpec
from poc.shared.spec.training.precision import EXACT

from .backend_pair import BackendPair, Caller
from .batches import Batch, prepare
from .kinks import excuse_kinks
from .progress import LadderProgress
from .rungs import (
    LOSS,
    Rung,
    compare,
    differing_rows,
    is_smooth,
    relative_error,
    split,
)
from .trajectories import (
    EXACT_TOLERANCE,
    FOLLOWS_GRADIENT,
    NUM_MOVES,
    RATES,
    Outcome,
    Steps,
    explain_chaos,
    explain_scale,
    milder_steps,
    move_weights,
    scale_steps,
    worst_parts,
)

# A brief climb meets images that nobody chose. Where a bias acts on a batch norm alone, because no
# unit of its channel is at rest, its gradient is rounding (2e-14 where measured), which Adam
# divides by 1e-8.
NUM_BRIEF_STEPS, BRIEF_TOLERANCE = 5, 1e-6


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
    "float64": Tolerances(logits=1e-10, gradients=1e-10, steps=EXACT_TOLERANCE, num_steps=50),
    "float32": Tolerances(logits=1e-5, gradients=1e-4, steps=1e-3, num_steps=20),
}


class Ladder:
    """Climbs the rungs for one run; `first` and `second` are the two backends' workers.

    `changes` are fields of the run that one backend alone sees. Steps are taken with every update
    rule; with `is_brief` a few, with the run's own. `progress` hears of each rung when it is known.

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
        progress: LadderProgress | None = None,
    ) -> None:
        if run.precision not in TOLERANCES:
            raise UsageError(
                f"received the precision {run.precision!r}, which rounds too coarsely to tell two "
                f"programs apart; allowed for parity are {', '.join(EXACT)}: leave precision out "
                "here, and train with it by poc run"
            )
        self._run, self._changes, self._is_brief, self._progress = run, changes, is_brief, progress
        self._resolved = resolve_networks(run)
        self._network = self._resolved.trained_network
        self._pair = BackendPair(self._resolved, first, second, changes)
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
            *self._pair.workers,
            self._changes,
            is_brief=self._is_brief,
            progress=self._progress,
        )

    def climb_stage(self, batches: Sequence[Batch]) -> list[Rung]:
        """Every rung, the cheap ones first; each is told as soon as it is known."""
        rungs = []
        for rung in self.reach_rungs(batches):
            rungs.append(rung)
            if self._progress is not None:
                self._progress.tell_rung(rung)
        return rungs

    def reach_rungs(self, batches: Sequence[Batch]) -> Iterator[Rung]:
        """The rungs one after the other; wrong parameters leave nothing to compare."""
        weights = self.perturbed_weights()
        batches = prepare(batches, self._network.input_shape, self._run.precision)
        parameters = self.compare_parameters()
        yield parameters
        if not parameters.is_passed:
            return
        yield self.compare_logits(weights, next(self._pair.probes(batches))[0])
        yield from self.compare_gradients(weights, batches[:1])
        for optimizer in self.optimizers():
            yield from self.compare_steps(optimizer, weights, batches)

    def optimizers(self) -> list[str]:
        """Update rules that are compared: those that the method can take."""
        allowed = find_method(self._run.method).optimizers
        names = [name for name in RATES[self._run.precision] if name in allowed or not allowed]
        own = self._run.optimizer.name
        return [own] if self._is_brief and own in names else names

    def perturbed_weights(self) -> Weights:
        """Initial weights moved off their special values, so that every parameter acts.

        A zero bias, a unit gamma, a zero running mean or a zero kernel would hide a dropped or
        swapped tensor.
        """
        generator = np.random.default_rng(self._run.seed)
        weights = starting_weights(self._resolved)
        for name, value in weights.items():
            if not name.endswith("/kernel") or not value.any():
                shift = generator.uniform(0.0, 0.1, value.shape).astype(np.float32)
                weights[name] = value + shift.astype(np.float64)
        return weights

    def compare_parameters(self) -> Rung:
        """Names, order, shapes and roles; against each other and against the declared network."""
        declared = [describe_parameter(parameter) for parameter in self._network.parameters]
        wrong = [name for table in self._pair.tables() for name in differing_rows(declared, table)]
        return Rung("parameters", wrong[0] if wrong else "", len(wrong), 0, len(declared))

    def compare_logits(self, weights: Weights, batch: Batch) -> Rung:
        """Evaluation mode; a breach names the first layer whose output differs."""
        values = self._pair.features(weights, batch["images"], ["logits"])
        rung = compare("logits", values, self._tolerances.logits)
        if rung.is_passed:
            return rung
        return replace(rung, worst=self.first_difference(weights, batch))

    def first_difference(self, weights: Weights, batch: Batch) -> str:
        """Name of the first layer, in the order of computation, whose output differs."""
        names = [node.name for node in self._resolved.network.nodes]
        maps = self._pair.features(weights, batch["images"][:2], names)
        for name in names:
            error = relative_error(maps[0][name], maps[1][name])
            if not error <= self._tolerances.logits:
                return name
        return "logits"

    def compare_gradients(self, weights: Weights, batches: Sequence[Batch]) -> list[Rung]:
        """Loss and gradients of one batch in training mode, noise on."""
        evaluate, bounds = partial(self._pair.gradients, weights), self._tolerances
        for probe in self._pair.probes(batches):
            values = [evaluate(worker, probe) for worker in self._pair.workers]
            rungs = self.loss_and_gradients(values, bounds)
            if all(rung.is_passed for rung in rungs):
                return rungs
            found = self._pair.in_double(evaluate, probe)
            if found is None or is_smooth(values, found, bounds.gradients):
                return rungs
            doubles = found
        exact = self.loss_and_gradients(doubles, TOLERANCES["float64"])
        own = [self.loss_and_gradients(pair, bounds) for pair in zip(values, doubles, strict=True)]
        return excuse_kinks(rungs, exact, own)

    def loss_and_gradients(self, values: Sequence[Arrays], tolerances: Tolerances) -> list[Rung]:
        """The loss of both backends, then their gradients."""
        parts = [split(value) for value in values]
        return [
            compare("loss", [part[0] for part in parts], tolerances.logits),
            compare("gradients", [part[1] for part in parts], tolerances.gradients),
        ]

    def compare_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> list[Rung]:
        """Real training steps across a drop of the learning rate: losses, then weights.

        They become smaller or fewer until rounding alone stays within the bound.
        """
        steps, notes = self.first_steps(optimizer, weights, batches)
        first = outcome = self.take_steps(steps, weights, batches)
        while not outcome.is_calm:
            milder = milder_steps(outcome.steps, self._run.precision, is_finite=outcome.is_finite)
            if milder is None:
                break
            outcome = self.take_steps(milder, weights, batches)
        if not first.is_calm:
            notes = (*notes, explain_chaos(first, outcome, BACKENDS[1]))
        return outcome.rungs(first, self._tolerances.steps, notes)

    def first_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> tuple[Steps, tuple[str, ...]]:
        """The ladder's steps, no longer than the loss is steep by one backend; and why."""
        rate = RATES[self._run.precision][optimizer]
        usual = Steps(optimizer=optimizer, rate=rate, count=self._tolerances.num_steps)
        if optimizer not in FOLLOWS_GRADIENT:
            return usual, ()
        found = self._pair.gradients(
            weights, self._pair.workers[1], next(self._pair.probes(batches))
        )
        loss = float(found.pop(LOSS))
        steps = scale_steps(usual, loss, found)
        return steps, () if steps == usual else (explain_scale(steps, usual, loss),)

    def take_steps(self, steps: Steps, weights: Weights, batches: Sequence[Batch]) -> Outcome:
        """The steps on the first noise on which they can be judged, else on the last one."""
        evaluate, tolerance = partial(self._pair.trajectory, steps, weights), self._tolerances.steps
        outcomes = []
        for probe in self._pair.probes(batches):
            outcome = self.take_on(steps, weights, probe)
            if outcome.is_calm:
                if outcome.is_equal(tolerance):
                    return outcome
                doubles = self._pair.in_double(evaluate, probe)
                if doubles is None or is_smooth(outcome.values, doubles, tolerance):
                    return outcome
                outcome = replace(outcome, doubles=doubles)
            outcomes.append(outcome)
        return next((outcome for outcome in outcomes[::-1] if outcome.is_calm), outcomes[-1])

    def take_on(self, steps: Steps, weights: Weights, batches: Sequence[Batch]) -> Outcome:
        """The steps by both backends, and by the second one on moved weights."""
        own = self._pair.workers[1]
        starts = [weights, weights, *move_weights(weights, self._run.precision)]
        passes = zip(starts, (*self._pair.workers, *[own] * NUM_MOVES), strict=True)
        trajectories = []
        for start, worker in passes:
            trajectories.append(self._pair.trajectory(steps, start, worker, batches))
            if self._progress is not None:
                self._progress.tell_pass(steps.name, len(trajectories), len(starts))
        values, moved = trajectories[:2], trajectories[2:]
        parts = worst_parts(steps.name, [values[1], *moved], self._tolerances.steps)
        trained = [p.name for p in self._network.parameters if p.is_trainable]
        movement = max(relative_error(values[1][name], weights[name]) for name in trained)
        return Outcome(steps=steps, values=values, moved=parts, movement=movement)
