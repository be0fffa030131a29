"""The network of a run, open in a worker of each framework, for logits and gradients at a tap."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poc.shared.actions.new_images.predict import Predictions
from poc.shared.actions.new_images.trained_network import TrainedNetwork
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.engine.launch.installed import find_missing
from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operation, Operations
from poc.shared.spec.run import BACKENDS


class OpenNetwork:
    """A trained network in a worker, where it is built once for logits and once for gradients."""

    def __init__(self, worker: Worker, trained: TrainedNetwork) -> None:
        self._worker, self._trained = worker, trained
        self._is_ready_to_explain = False
        self._start(Operations.start_predicting)

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of normalised images (N, H, W, C)."""
        return self._worker.call(Operations.predict_batch, images=images)

    def shares(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities (N, num_classes) of logits, at the temperature of the decision."""
        answering = self._trained.answering
        found = Predictions(names=[""] * len(logits), logits=logits, answering=answering)
        return probabilities(found.scaled, is_multi_label=answering.is_multi_label)

    def map_and_gradient(
        self, images: NDArray[np.float32], classes: NDArray[np.int64], tap: str
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Compute a map (N, h, w, c), and the gradient at it of the logits of the classes (N,).

        The images are (N, H, W, C), normalised.
        """
        # Occlusion never gets here, and needs no second network.
        if not self._is_ready_to_explain:
            self._start(Operations.start_explaining)
            self._is_ready_to_explain = True
        found = self._worker.call(Operations.explain_batch, images=images, labels=classes, tap=tap)
        return found["map"], found["gradient"]

    def _start(self, operation: Operation[..., None]) -> None:
        fields = self._trained.run.model_dump(mode="json")
        self._worker.call(operation, run=fields, weights=self._trained.weights)


def choose_backends(wanted: str | None, own: str, note: Note) -> tuple[str, ...]:
    """Return the frameworks to explain in: the wanted one, or else all that are installed.

    That of the run is the first.

    Args:
        wanted: The framework that the user names; it need not exist.
        own: The framework of the run.
        note: Called with a sentence if one is missing.
    """
    if wanted is not None:
        return (wanted,)
    missing = [name for name in BACKENDS if find_missing(name)]
    if len(missing) == len(BACKENDS):
        # The worker of the run's own then says what is missing.
        return (own,)
    for name in missing:
        note(
            f"{name} is not installed, so the other framework explains alone: pip install "
            f"'poc[{name}]'"
        )
    return tuple(sorted(set(BACKENDS) - set(missing), key=lambda name: name != own))


@contextmanager
def open_networks(
    trained: TrainedNetwork, backends: tuple[str, ...], report: Report
) -> Iterator[Mapping[str, OpenNetwork]]:
    """Yield the same weights in a worker of each framework; the workers end with the block."""
    with ExitStack() as stack:
        networks = {}
        for name in backends:
            WorkCount(report, f"starting {name}")
            worker = stack.enter_context(Worker(name))
            run = trained.run.replace(backend=name)
            networks[name] = OpenNetwork(worker, replace(trained, run=run))
        yield networks
