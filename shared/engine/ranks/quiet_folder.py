"""The run folder as ranks other than the first one see it: they read it, and write nothing."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from poc.shared.engine.folder.checkpoints import Checkpoint
from poc.shared.engine.folder.frozen_tensors import FrozenTensors
from poc.shared.engine.folder.run_folder import RunFolder, Status
from poc.shared.spec.networks.initializers import Weights

from .place import Place


class QuietFolder(RunFolder):
    """A run folder to which rank 0 writes what all ranks have computed alike."""

    def make(self, path: Path) -> None:
        """Leave folders to rank 0."""

    def clear(self) -> None:
        """Leave a former run's files to rank 0."""

    def remove_results(self) -> None:
        """Leave a former run's files to rank 0."""

    def write_run(self, record: Mapping[str, object]) -> None:
        """Leave `run.json` to rank 0."""

    def mark(self, status: Status, **more: object) -> None:
        """Leave the run's status to rank 0."""

    def keep_room(self) -> None:
        """Leave the reserve of space to rank 0."""

    def give_room(self) -> None:
        """Leave the reserve of space to rank 0."""

    def write_checkpoint(self, checkpoint: Checkpoint, frozen: FrozenTensors) -> None:
        """Leave checkpoints to rank 0."""

    def cut_metrics(self, line: Mapping[str, object] | None) -> None:
        """Leave the lines of epochs to rank 0."""

    def append_metrics(self, line: Mapping[str, object]) -> None:
        """Leave the lines of epochs to rank 0."""

    def keep_split(self, content: bytes) -> None:
        """Leave the list of examples to rank 0."""


class UnwrittenTensors(FrozenTensors):
    """Writer of weight files that writes none."""

    def write(self, path: Path, weights: Weights, texts: Mapping[str, str]) -> None:
        """Leave the file of `Weights` (…) to rank 0."""

    def read(self, path: Path) -> Weights:
        """Read no `Weights` (…): rank 0 may still be writing the file, and alone needs it."""
        return {}


def folder_of(place: Place) -> Callable[[str], RunFolder]:
    """Return the class of a rank's run folder."""
    return RunFolder if place.is_first else QuietFolder


def tensors_of(folder: RunFolder, names: Collection[str]) -> FrozenTensors:
    """Return the writer of a folder's weight files, which keeps the named tensors apart."""
    kind = UnwrittenTensors if isinstance(folder, QuietFolder) else FrozenTensors
    return kind(folder.checkpoints, names)
