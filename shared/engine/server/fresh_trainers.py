"""Trainers that start again from other weights, without a new build and trace."""

from collections import OrderedDict

from poc.shared.engine.backend import Backend, Trainer
from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

# The parity ladder asks for one run in two precisions, in turn. More would only keep memory.
MAX_TRAINERS = 2


class FreshTrainers:
    """A cache of trainers for the latest specs, each with the state in which it began."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: OrderedDict[str, tuple[Trainer, Arrays]] = OrderedDict()

    def start(self, run: ResolvedRun, weights: Weights) -> Trainer:
        """Return a trainer that has these weights and has taken no step.

        Args:
            run: The run.
            weights: Canonical `Weights`, of the declared shapes.
        """
        key = run.spec.model_dump_json()
        if key in self._kept:
            trainer, state = self._kept[key]
            self._kept.move_to_end(key)
            trainer.restore(start_averages(state, weights))
            trainer.load(weights)
            trainer.metrics()  # drops totals that an earlier call did not fetch
            return trainer
        while len(self._kept) >= MAX_TRAINERS:
            self._kept.popitem(last=False)
        trainer = self._backend.Trainer(run, weights)
        self._kept[key] = trainer, trainer.state()
        return trainer


def start_averages(state: Arrays, weights: Weights) -> Arrays:
    """Return a trainer's first state (…) with averages that start from these `Weights`."""
    return {
        name: weights[name.removeprefix(AVERAGE_PREFIX)].astype(value.dtype)
        if name.startswith(AVERAGE_PREFIX)
        else value
        for name, value in state.items()
    }
