"""The trained network of a run for images of any kind: read without the run's data, and started.

The record of a run has all that an image goes through.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.inspection import Note
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.console.work_count import Report, WorkCount
from poc.shared.engine.folder.decision import (
    CHECKPOINT,
    DECISION,
    AnswerRule,
    Decision,
    read_decision,
)
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.trained_run import read_weights, recorded_network
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec


class Network(Protocol):
    """A trained network that computes."""

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of normalised images (N, H, W, C)."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """The view that turns pictures into a trained network's input, and the way to its answers.

    Attributes:
        class_names: Classes in the order of the logits.
        view: View that the network has of a picture.
        decision: The decision of its run, if it applies.
        is_multi_label: True if an image has any number of labels.
    """

    class_names: Sequence[str]
    view: EvaluationView
    decision: AnswerRule | None = None
    is_multi_label: bool = False


class Startable(Protocol):
    """A network that was read and checked: of a run, or of an exported file."""

    @property
    def answering(self) -> Answering:
        """Return what it sees, and how it answers."""

    @property
    def computed_by(self) -> str:
        """Return the backend or the runtime that computes."""

    def start(self, report: Report) -> AbstractContextManager[Network]:
        """Start the network, which ends with the block."""


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """The network of a run, read and checked; `start` computes with it."""

    run: RunSpec
    weights: Weights
    answering: Answering

    @property
    def computed_by(self) -> str:
        """Return the name of the backend."""
        return self.run.backend

    @contextmanager
    def start(self, report: Report) -> Iterator[Network]:
        """Yield the network in a worker of its backend, which ends with the block."""
        WorkCount(report, f"starting {self.run.backend}")
        with Worker(self.run.backend) as worker:
            fields = self.run.model_dump(mode="json")
            worker.call(Operations.start_predicting, run=fields, weights=self.weights)
            yield WorkerNetwork(worker)


class WorkerNetwork:
    """A network in a worker, after `Operations.start_predicting`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of normalised images (N, H, W, C)."""
        return self._worker.call(Operations.predict_batch, images=images)


def read_trained(
    folder: Path,
    checkpoint: str = CHECKPOINT,
    *,
    backend: str | None = None,
    use_decision: bool = True,
    note: Note,
) -> TrainedNetwork:
    """Read the network of a run, without its data.

    Args:
        folder: Run folder.
        checkpoint: File in `checkpoints`, without its ending.
        backend: Framework to compute in; None: that of the run.
        use_decision: Answer by the run's `decision.json`, if it has one.
        note: Called with a sentence if the decision does not apply.

    Raises:
        UsageError: The folder is no trained run, the checkpoint is missing, or the decision was
            made for other weights.
    """
    record = RunRecord.read(folder)
    decision = find_decision(record, checkpoint, note) if use_decision else None
    run = show_plainly(recorded_network(record), backend)
    weights = read_weights(record, resolve_networks(run), checkpoint)
    answering = Answering(
        class_names=record.class_names,
        view=view_of(run),
        decision=decision,
        is_multi_label=run.loss.is_binary,
    )
    return TrainedNetwork(run=run, weights=weights, answering=answering)


def view_of(run: RunSpec) -> EvaluationView:
    """Return the view that the network of a recorded run has of a picture."""
    height, width, channels = run.input_shape or (0, 0, 0)
    return EvaluationView(run.data, (height, width, channels))


def find_decision(record: RunRecord, checkpoint: str, note: Note) -> Decision | None:
    """Return the decision of a run, if there is one for this checkpoint.

    Args:
        record: Record of the run.
        checkpoint: File in `checkpoints`, without its ending.
        note: Called with a sentence if the run has a decision, but for other weights than these.

    Raises:
        UsageError: The decision is damaged, or was made for weights that have changed since.
    """
    if checkpoint == CHECKPOINT:
        return read_decision(record.folder, record.class_names)
    if (record.folder / DECISION).exists():
        note(
            f"{DECISION} is for the {CHECKPOINT!r} weights, so the {checkpoint!r} ones answer "
            "without a temperature and a threshold."
        )
    return None


def show_plainly(run: RunSpec, backend: str | None) -> RunSpec:
    """Return the run in a backend, None for its own, with an optimizer that keeps no moments."""
    # A trainer with plain SGD takes no more memory than its weights.
    update = {"name": "sgd", "momentum": 0.0, "nesterov": False}
    return run.replace(
        backend=backend or run.backend,
        optimizer={**run.optimizer.model_dump(mode="json"), **update},
    )
