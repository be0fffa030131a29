"""Trainers that start anew without being built and traced anew."""

from collections import OrderedDict

from poc.shared.engine.backend import Backend, Trainer
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun

# The parity ladder asks for one run in two precisions, in turn.
MAX_TRAINERS = 2


class FreshTrainers:
    """The trainers of the latest specs, each with the state in which it began."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: OrderedDict[str, tuple[Trainer, Arrays]] = OrderedDict()

    def start(self, run: ResolvedRun, weights: Weights) -> Trainer:
        """A trainer with these weights that has taken no step yet."""
        key = run.spec.model_dump_json()
        if key in self._kept:
            trainer, state = self._kept[key]
            self._kept.move_to_end(key)
            trainer.restore(state)
            trainer.load(weights)
            trainer.metrics()  # what an earlier call may have left uncounted
            return trainer
        while len(self._kept) >= MAX_TRAINERS:
            self._kept.popitem(last=False)
        trainer = self._backend.Trainer(run, weights)
        self._kept[key] = trainer, trainer.state()
        return trainer
