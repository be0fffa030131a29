"""Cells as run folders, trained by the sweep's own function in a process of their own.

Cells run one after the other, on this machine or on one of a cluster.
"""

import math
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from poc.shared.actions.requested_run import weight_defaults
from poc.shared.data.protocol.protocol import Protocol
from poc.shared.data.sources.base import Source
from poc.shared.data.splits.split import make_split
from poc.shared.engine.launch.executors import Executor, LocalExecutor
from poc.shared.engine.launch.sweep import Row, finished_row, make_task, record_failure
from poc.shared.engine.launch.sweep_definition import Watch
from poc.shared.engine.worker.template import template_seconds
from poc.shared.spec.data import DEFAULT_IMAGE_SIZE
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.recipe import (
    Kind,
    count_epochs,
    count_finetune_epochs,
    count_steps,
)
from poc.shared.spec.reading.sweep import Cell
from poc.shared.spec.run import RunSpec
from poc.shared.weights.header import VIEW_KEYS

from .jobs import LARGEST_LOSS, Job, Outcome
from .proposals import assign
from .searching.forecasts import Images, count_multiply_adds
from .time_limit import run_limited

# Small nets see images up to this side at their own size. At a camera's 12 megapixels one of their
# steps would take minutes.
LARGEST_SIDE = 128


class WorkerCells:
    """Runs cells below the folder of a study.

    Args:
        output: The study's folder.
        data: Text of the source, as for `--data`.
        images: Images of a train part, from which the epochs and the work of a cell follow.
        command: The command line, recorded in each run folder.
        executor: Place where the cells run; none: this machine.
        watch: Called with a cell's name and an event of its training, on this machine.
    """

    def __init__(
        self,
        output: Path,
        data: str,
        images: Images,
        command: str,
        executor: Executor | None = None,
        watch: Watch = lambda cell, event: None,
    ) -> None:
        self._output, self._data, self._command = output, data, command
        self._images, self._watch = images, watch
        self._executor: Executor = executor or LocalExecutor()
        self.notes: list[str] = []
        self._defaults = weight_defaults(self.notes.append)

    def run(self, job: Job, limit_seconds: float) -> Outcome:
        """Run a cell, or read it if its folder has a finished run."""
        began = time.monotonic()
        cell = Cell(name=job.name, settings=describe_settings(job), run=self.make_run(job))
        phase = self._output / job.phase
        former = template_seconds()
        row = finished_row(cell, phase) or self._train(cell, phase, limit_seconds)
        outcome = read_outcome(row, time.monotonic() - began)
        return outcome._replace(start_seconds=template_seconds() - former)

    def check(self, jobs: Iterable[Job]) -> None:
        """Refuse candidates whose settings or weights make no run, before any of them trains.

        Raises:
            UsageError: As `load_run`.
        """
        for job in jobs:
            self.make_run(job)

    def make_run(self, job: Job) -> RunSpec:
        """Make the settings of a cell's run."""
        settings = [f"data.source={self._data}", *job.candidate.settings]
        if job.proposal:
            settings += assign(job.proposal, job.candidate.settings)
        elif job.phase == "search":
            # Candidates with the same body share its outputs; the finals pay for their own.
            settings += [
                "method_options.feature_cache=disk",
                f"data.cache_folder={(self._output / 'cache').resolve()}",
            ]
        run = load_run(None, settings, defaults=self._defaults, backend=job.backend)
        data = run.data.model_dump(mode="json") | {"split": job.split.model_dump(mode="json")}
        if run.initial_weights and run.asked_size is None:
            # Small images would waste what the weights have learned.
            data["image_size"] = list(find_model(run.model_spec.name).example_input[:2])
        elif run.asked_size is None and needs_size(self._images):
            data["image_size"] = list(DEFAULT_IMAGE_SIZE)
        changes: dict[str, object] = {"seed": job.seed, "data": data}
        if job.candidate.kind and job.share < 1:
            changes |= share_epochs(run, job.candidate.kind, job.share, self._images.num_train)
        if job.teacher:
            taught = self.make_run(job.teacher)
            changes["teacher"] = {"weights": str((self._output / job.teacher.key).resolve())}
            # Both see the same images, prepared as for the teacher.
            own = taught.data.model_dump(mode="json")
            data |= {key: own[key] for key in VIEW_KEYS} | {"image_size": taught.asked_size}
        return run.replace(**changes)

    def count_work(self, job: Job) -> float:
        """Count the multiply-adds of a cell."""
        teacher = self.make_run(job.teacher) if job.teacher else None
        return count_multiply_adds(self.make_run(job), job.candidate.kind, self._images, teacher)

    def _train(self, cell: Cell, phase: Path, limit_seconds: float) -> Row:
        phase.mkdir(parents=True, exist_ok=True)
        task = make_task(cell, phase, self._command, self._executor.description)
        # The finals end with the budget. In the search there is time for an import.
        is_free = phase.name == "search"
        work = partial(run_limited, seconds=limit_seconds, is_free=is_free)
        if isinstance(self._executor, LocalExecutor):
            # Another process could not call it.
            work = partial(work, watch=self._watch)
        (done,) = self._executor.run(work, [task])
        return done.result or record_failure(task, done.error or "gave no result")


def needs_size(images: Images) -> bool:
    """Return whether small nets need a size: images (H, W, C) differ in theirs, or are large."""
    return images.shape is None or max(images.shape[:2]) > LARGEST_SIDE


def share_epochs(run: RunSpec, kind: Kind, share: float, num_images: int) -> dict[str, object]:
    """Return the settings by which a run has a share of the recipe's epochs, in both of its phases.

    Each phase has at least one epoch.
    """
    steps = count_steps(run, num_images)
    epochs = max(1, math.ceil(share * count_epochs(kind, steps)))
    closed, changes = {"num_epochs"}, dict[str, object]()
    if "finetune_epochs" in find_method(run.method).options.model_fields:
        last = max(1, math.ceil(share * count_finetune_epochs(kind, steps)))
        changes["method_options"] = {**run.method_options, "finetune_epochs": last}
        closed.add("method_options.finetune_epochs")
        epochs += last
    left = [key for key in run.open_settings if key not in closed]
    return {**changes, "num_epochs": epochs, "open_settings": left}


def describe_settings(job: Job) -> dict[str, object]:
    """Return the settings of a cell as a report shows them."""
    return {"candidate": job.candidate.name, "backend": job.backend, **(job.proposal or {})}


def read_outcome(row: Row, seconds: float) -> Outcome:
    """Return the outcome of a run from its row."""
    if row["status"] != "finished":
        error = str(row.get("error", "")).splitlines()
        return Outcome(str(row["status"]), seconds, error=error[0] if error else "")
    loss = row.get("best_val_loss")
    return Outcome(
        "finished",
        seconds,
        float(row.get("best_val_accuracy") or 0.0),
        LARGEST_LOSS if loss is None else float(loss),
    )


def describe_images(source: Source, protocol: Protocol) -> Images:
    """Return what is known of the images (H, W, C) that the first cell trains on."""
    split = make_split(source, protocol.cells[0].search_split)
    return Images(len(split.train), source.image_shape, len(source.class_names))
