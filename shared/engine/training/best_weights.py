"""Weights of the best epoch, in memory until they are worth a write."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from poc.shared.engine.folder.frozen_tensors import FrozenTensors
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.network import Network


class BestWeights:
    """`best.safetensors` of a run: the network alone, without parameters that only train it.

    Args:
        path: That file.
        network: The run's network; its parameters are the names in the file.
        metadata: Texts for the file's header.
        frozen: Writes the tensors that never move to a file of their own.
    """

    def __init__(
        self, path: Path, network: Network, metadata: Mapping[str, str], frozen: FrozenTensors
    ) -> None:
        self._path, self._names = path, [p.name for p in network.parameters]
        self._metadata, self._frozen = metadata, frozen
        # None: no better epoch since the last write.
        self._unwritten: Weights | None = None
        self._epoch = 0

    def note(self, weights: Weights, epoch: int) -> None:
        """Remember the `Weights` of a better epoch, name -> array of the parameter's shape.

        Those that never move may be left out.
        """
        self._unwritten, self._epoch = dict(weights), epoch

    def copy(self, weights: Weights, epoch: int) -> None:
        """Remember a copy of the `Weights`, since the trainer goes on writing into the arrays."""
        self.note({name: np.array(value) for name, value in weights.items()}, epoch)

    def write(self, weights: Weights) -> None:
        """Write the remembered `Weights`, unless that is done; `weights` has what never moves."""
        if self._unwritten is None:
            return
            # The later mapping wins: `weights` are the last epoch's, `_unwritten` the best one's.
        kept = {**weights, **self._unwritten}
        own = {name: kept[name] for name in self._names}
        self._frozen.write(self._path, own, {"epoch": str(self._epoch), **self._metadata})
        self._unwritten = None

    def forget(self) -> None:
        """Drop what was not written, because the run goes back to its last checkpoint."""
        self._unwritten = None

    def read(self) -> Weights:
        """Read the file's `Weights` and those that never move, in canonical shapes."""
        return self._frozen.read(self._path)
