"""Weights of the best epoch, in memory until they are worth a write."""

from pathlib import Path

import numpy as np

from poc.shared.spec.initializers import Weights
from poc.shared.spec.models import ModelSpec
from poc.shared.spec.run import RunSpec

from .files import read_arrays, write_arrays


class BestWeights:
    """`best.safetensors` of a run: the network alone, without what is trained beside it.

    Args:
        path: That file.
        run: Resolved spec; the file tells its model's lineage, where that has one.
    """

    def __init__(self, path: Path, run: RunSpec) -> None:
        self._path, self._names = path, [p.name for p in run.network.parameters]
        lineage = lineage_of(run.model_spec)
        self._metadata = {"lineage": lineage} if lineage else {}
        self._unwritten: Weights | None = None
        self._epoch = 0

    def note(self, weights: Weights, epoch: int) -> None:
        """Take the weights of a better epoch; those that never move may be left out."""
        self._unwritten, self._epoch = dict(weights), epoch

    def copy(self, weights: Weights, epoch: int) -> None:
        """Take them where the trainer goes on writing into the arrays."""
        self.note({name: np.array(value) for name, value in weights.items()}, epoch)

    def write(self, weights: Weights) -> None:
        """Write them, unless they are written already; what does not move is in `weights`."""
        if self._unwritten is None:
            return
        kept = {**weights, **self._unwritten}
        own = {name: kept[name] for name in self._names}
        write_arrays(self._path, own, epoch=str(self._epoch), **self._metadata)
        self._unwritten = None

    def forget(self) -> None:
        """Drop what was not written: the run stands where its checkpoint stands."""
        self._unwritten = None

    def read(self) -> Weights:
        """What stands in the file."""
        return read_arrays(self._path)


def lineage_of(model: ModelSpec) -> str | None:
    """Whose padding and epsilon a model has, where it can have one or the other's."""
    lineage = getattr(model.resolved(), "lineage", None)
    return None if lineage is None else str(lineage)
