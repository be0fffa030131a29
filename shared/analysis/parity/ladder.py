"""The parity ladder: do the two backends compute the same, rung by rung?

parameters -> weights -> logits -> loss and every gradient -> gradient at a tap -> optimiser steps
across a rate drop. Values must be finite, then close. Each tolerance has its reason next to it, and
is never raised because a check is flaky.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.operations import describe_parameter
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.nodes import find_last_map
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import BACKENDS, RunSpec
from poc.shared.spec.training.precision import EXACT

from .backend_pair import BackendPair, Caller
from .batches import Batch, prepare
from .fitted_heads import compare_heads
from .progress import LadderProgress
from .rungs import (
    LOSS,
    Rung,
    compare,
    differing_rows,
    is_smooth,
    relative_error,
)
from .single_batch import compare_loss_and_gradients, compare_map_and_gradient, judge_batch
from .tolerances import TOLERANCES
from .trajectories import (
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

# A brief climb uses the user's images, which nobody chose for the check. If no unit of a channel is
# at rest, a bias before a batch norm has no effect: its gradient is rounding (2e-14 as measured),
# which Adam divides by 1e-8.
NUM_BRIEF_STEPS, BRIEF_TOLERANCE = 5, 1e-6


class Ladder:
    """The rungs for one run.

    Args:
        run: The run, of either backend.
        first, second: Workers of tf and of torch.
        changes: Per backend, fields of the run that this backend alone gets.
        is_brief: Take a few steps with the run's update rule, not many with every rule.
        progress: Is notified of each rung when its result is known.

    Raises:
        UsageError: The run's precision is too coarse to tell two programs apart.
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
                f"Got precision={run.precision!r}, which rounds too coarsely to tell two programs "
                f"apart. Expected {' or '.join(EXACT)} for parity. Try leaving precision out here, "
                f"and train in {run.precision} with `poc run`."
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
        """Compare on every rung of every stage; images are (N, H, W, C) float32, labels (N,)."""
        stages = self._run.stages
        if len(stages) == 1 or self._run.stage:
            return self.climb_stage(batches)
        return [
            replace(rung, name=f"{stage.name}: {rung.name}")
            for stage in stages
            for rung in self.at_stage(stage.name).climb(batches)
        ]

    def at_stage(self, name: str) -> "Ladder":
        """Return the ladder of one stage."""
        return Ladder(
            self._run.at_stage(name),
            *self._pair.workers,
            self._changes,
            is_brief=self._is_brief,
            progress=self._progress,
        )

    def climb_stage(self, batches: Sequence[Batch]) -> list[Rung]:
        """Compare on every rung, the cheap ones first; report each as soon as it is known."""
        rungs = []
        for rung in self.reach_rungs(batches):
            rungs.append(rung)
            if self._progress is not None:
                self._progress.tell_rung(rung)
        return rungs

    def reach_rungs(self, batches: Sequence[Batch]) -> Iterator[Rung]:
        """Yield the rungs one after the other; stop if the parameters are not the same."""
        weights = self.perturbed_weights()
        batches = prepare(batches, self._network.input_shape, self._run.precision)
        parameters = self.compare_parameters()
        yield parameters
        if not parameters.is_passed:
            return
        yield self.compare_logits(weights, next(self._pair.probes(batches))[0])
        yield from self.compare_gradients(weights, batches[:1])
        yield from self.compare_tap(weights, batches[:1])
        if self._resolved.method.fits_head:
            yield from compare_heads(self._pair, self._resolved, weights, batches)
            return
        for optimizer in self.optimizers():
            yield from self.compare_steps(optimizer, weights, batches)

    def optimizers(self) -> list[str]:
        """List the update rules to compare: those that the method can use."""
        allowed = find_method(self._run.method).optimizers
        names = [name for name in RATES[self._run.precision] if name in allowed or not allowed]
        own = self._run.optimizer.name
        return [own] if self._is_brief and own in names else names

    def perturbed_weights(self) -> Weights:
        """Return initial `Weights` moved off their special values, so that every parameter acts.

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
        """Compare names, order, shapes and roles, of each backend with the declared network."""
        declared = [describe_parameter(parameter) for parameter in self._network.parameters]
        wrong = [name for table in self._pair.tables() for name in differing_rows(declared, table)]
        return Rung("parameters", wrong[0] if wrong else "", len(wrong), 0, len(declared))

    def compare_logits(self, weights: Weights, batch: Batch) -> Rung:
        """Compare logits (N, num_classes) in evaluation mode; name the first layer that differs."""
        values = self._pair.features(weights, batch["images"], ["logits"])
        rung = compare("logits", values, self._tolerances.logits)
        if rung.is_passed:
            return rung
        return replace(rung, worst=self.first_difference(weights, batch))

    def first_difference(self, weights: Weights, batch: Batch) -> str:
        """Name the first layer, in the order of computation, whose output (N, …) differs."""
        names = [node.name for node in self._resolved.network.nodes]
        # Two images, because this asks for the maps of all layers at once.
        maps = self._pair.features(weights, batch["images"][:2], names)
        for name in names:
            error = relative_error(maps[0][name], maps[1][name])
            # Not `error > ...`: a NaN counts as a difference.
            if not error <= self._tolerances.logits:
                return name
        return "logits"

    def compare_gradients(self, weights: Weights, batches: Sequence[Batch]) -> list[Rung]:
        """Compare loss () and gradients (…) of one batch in training mode, with noise on."""
        return judge_batch(
            self._pair,
            partial(self._pair.gradients, weights),
            compare_loss_and_gradients,
            batches,
            self._tolerances,
        )

    def compare_tap(self, weights: Weights, batches: Sequence[Batch]) -> list[Rung]:
        """Compare the gradient (N, h, w, c) of one batch's logits at the last map, if there is one.

        The network is in evaluation mode.
        """
        network = self._resolved.network
        tap = find_last_map(network.needed([network.output]))
        if tap is None:
            return []
        return judge_batch(
            self._pair,
            partial(self._pair.map_and_gradient, weights, tap),
            compare_map_and_gradient,
            batches,
            self._tolerances,
        )

    def compare_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> list[Rung]:
        """Compare training steps across a drop of the learning rate: losses (), then `Weights`.

        Steps become smaller or fewer until rounding alone stays within the bound.
        """
        first, outcome, notes = self.find_steps(optimizer, weights, batches)
        return outcome.rungs(first, self._tolerances.steps, notes)

    def find_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> tuple[Outcome, Outcome, tuple[str, ...]]:
        """Return outcomes from `Weights`: of the first steps, of those to judge; and notes."""
        steps, notes = self.first_steps(optimizer, weights, batches)
        first = outcome = self.take_steps(steps, weights, batches)
        while not outcome.is_calm:
            milder = milder_steps(outcome.steps, self._run.precision, is_finite=outcome.is_finite)
            if milder is None:
                break
            outcome = self.take_steps(milder, weights, batches)
        if not first.is_calm:
            notes = (*notes, explain_chaos(first, outcome, BACKENDS[1]))
        return first, outcome, notes

    def first_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> tuple[Steps, tuple[str, ...]]:
        """Return the first steps to try, and a note if they are smaller because the loss is steep.

        One backend alone measures how steep the loss is at these `Weights`.
        """
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
        """Take steps from `Weights` with the first noise that can be judged, or else the last."""
        evaluate, tolerance = partial(self._pair.trajectory, steps, weights), self._tolerances.steps
        outcomes = []
        for probe in self._pair.probes(batches):
            outcome = self.take_on(steps, weights, probe)
            if outcome.is_calm:
                if outcome.is_equal(tolerance):
                    return outcome
                doubles = self._pair.in_double(evaluate, probe)
                outcome = replace(outcome, doubles=doubles)
                if doubles is None or is_smooth(outcome.values, doubles, tolerance):
                    return outcome
            outcomes.append(outcome)
        return next((outcome for outcome in outcomes[::-1] if outcome.is_calm), outcomes[-1])

    def take_on(self, steps: Steps, weights: Weights, batches: Sequence[Batch]) -> Outcome:
        """Take the steps by both backends, and by the second one from moved `Weights`."""
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
