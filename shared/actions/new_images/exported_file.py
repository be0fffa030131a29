"""An exported file as a network for images of any kind; no framework is imported.

The file says itself how a picture becomes its input, and how its logits are answered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.inspection import Note
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.export.preprocess import Preprocess
from poc.shared.engine.export.runtimes import FORMATS, ExportedModel, open_file
from poc.shared.engine.folder.decision import CHECKPOINT
from poc.shared.errors import UsageError

from .recommended_run import find_recommended
from .trained_network import Answering, Network, Startable, read_trained


@dataclass(frozen=True, kw_only=True)
class ExportedNetwork:
    """An opened file, as `TrainedNetwork` is an opened run."""

    model: ExportedModel
    answering: Answering

    @property
    def computed_by(self) -> str:
        """Return the name and version of the runtime."""
        return self.model.runtime

    @contextmanager
    def start(self, report: Report) -> Iterator[Network]:
        """Yield the network; it computes in this process."""
        yield FileNetwork(self.model)


class FileNetwork:
    """An exported file that computes."""

    def __init__(self, model: ExportedModel) -> None:
        self._model = model

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.floating]:
        """Compute logits (N, num_classes) of images (N, H, W, C), from 0 to 255."""
        # The view has no normalisation, so these are whole numbers. A file that takes pictures of
        # any size passes those of the network's own size on.
        return self._model.logits(images.astype(np.uint8))


def answering_of(known: Preprocess) -> Answering:
    """Return what an exported file says about its input and its answers."""
    return Answering(
        class_names=known.class_names,
        view=EvaluationView(known.data_spec(), known.shape),
        decision=known.rule(),
        is_multi_label=known.is_multi_label,
    )


def read_exported(path: Path) -> ExportedNetwork:
    """Open an exported file.

    Raises:
        UsageError: Its runtime is missing or cannot read it, or it does not say what it takes.
    """
    model = open_file(path)
    known = Preprocess.read(model.metadata, path)
    return ExportedNetwork(model=model, answering=answering_of(known))


def is_exported(path: Path) -> bool:
    """Tell if a path is an exported file, by its ending."""
    return path.suffix.removeprefix(".") in FORMATS and not path.is_dir()


def read_network(
    path: Path,
    checkpoint: str = CHECKPOINT,
    *,
    backend: str | None = None,
    use_decision: bool = True,
    note: Note,
) -> Startable:
    """Read the network of a run folder or of an exported file; the options are `read_trained`'s.

    The folder of a study stands for the run that it recommends.

    Raises:
        UsageError: As `read_trained` and `read_exported`; the file is missing, or an option chooses
            what a file cannot.
    """
    path = find_recommended(path)
    if not is_exported(path):
        return read_trained(path, checkpoint, backend=backend, use_decision=use_decision, note=note)
    if not path.is_file():
        raise UsageError(
            f"Got {str(path)!r}, which does not exist. Expected a run folder or an exported file. "
            "Try `poc export RUN --format onnx`, which prints the path of one."
        )
    refuse_choices(path, checkpoint, backend)
    opened = read_exported(path)
    return opened if use_decision else replace(opened, answering=undecided(opened.answering))


def undecided(answering: Answering) -> Answering:
    """Return the same without the decision."""
    return replace(answering, decision=None)


def refuse_choices(path: Path, checkpoint: str, backend: str | None) -> None:
    """Refuse options that choose among what a run folder has.

    Raises:
        UsageError: A backend or a checkpoint is named.
    """
    if backend is None and checkpoint == CHECKPOINT:
        return
    named = f"--backend {backend}" if backend else f"--checkpoint {checkpoint}"
    raise UsageError(
        f"Got {named} for the exported file {str(path)!r}, which holds one network and needs no "
        "framework. Expected neither --backend nor --checkpoint. Try leaving it out, or naming the "
        "run's folder."
    )
