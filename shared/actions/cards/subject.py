"""The subject of a model card: a trained run, with its test answers if it has finished."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from poc.shared.actions.new_images.trained_network import TrainedNetwork, read_trained
from poc.shared.analysis.runs.groups import Group, group_runs
from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.reading import Run, read_or_explain
from poc.shared.analysis.runs.row_labels import PATHS, flatten
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.folder.decision import AnswerRule
from poc.shared.engine.folder.lock import is_held
from poc.shared.engine.folder.record import RunRecord, has_path
from poc.shared.engine.numerics.answers import Labels
from poc.shared.engine.resolving.validation import chooses_epoch
from poc.shared.shown_names import plain
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec

from .recorded import check_record, find_odd_figure


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A run that `poc predict` opens.

    Attributes:
        record: The run's record.
        trained: Its network with the best weights.
        finished: The run as a report reads it; None if it has not finished, or is damaged.
        reason: Why there is no such run; empty if there is one.
    """

    record: RunRecord
    trained: TrainedNetwork
    finished: Run | None
    reason: str

    @classmethod
    def read(cls, folder: Path, note: Note) -> "Subject":
        """Read a run folder.

        Raises:
            UsageError: As `read_trained`.
        """
        trained = read_trained(folder, note=note)
        record = RunRecord.read(folder)
        check_record(folder, record.content)
        found = read_or_explain(folder)
        finished = found if isinstance(found, Run) else None
        reason = find_odd_figure(found.row) if isinstance(found, Run) else found.reason
        return cls(
            record=record,
            trained=trained,
            finished=None if reason else finished,
            # Its folder's path is that of one machine.
            reason=reason.replace(str(folder), folder.resolve().name),
        )

    @property
    def spec(self) -> RunSpec:
        """Return the run's settings."""
        return self.record.spec

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes in the order of the logits."""
        return self.record.class_names

    @property
    def is_multi_label(self) -> bool:
        """Return whether an image has any number of labels."""
        return self.spec.loss.is_binary

    @property
    def status(self) -> str:
        """Return how the run ended, such as `finished` or `interrupted`."""
        return str(self.record.content.get("status", "unknown"))

    @cached_property
    def is_training(self) -> bool:
        """Return whether a process trains the run now."""
        return self.status == "running" and is_held(self.record.folder)

    @property
    def is_damaged(self) -> bool:
        """Return whether the run has finished, and a file of it cannot be used."""
        return self.status == "finished" and self.finished is None

    @property
    def kept_epoch(self) -> str:
        """Return which epoch the weights are of."""
        if self.finished is not None:
            return f"of epoch {self.finished.row['best_epoch']}"
        counts = self.record.data.get("counts", {})
        chooses = chooses_epoch(self.spec, counts.get("val", 0))
        return f"of the {'best' if chooses else 'last'} epoch{'' if self.is_damaged else ' so far'}"

    @property
    def decision(self) -> AnswerRule | None:
        """Return the decision of `poc calibrate`, if the run has one."""
        return self.trained.answering.decision

    @property
    def predictions(self) -> Predictions | None:
        """Return the test answers, if there are any."""
        return self.finished.predictions if self.finished else None

    @cached_property
    def answers(self) -> Labels | None:
        """Return the answers that `poc predict` gives for the test images, if there are any.

        They are (N,) classes, -1 for an image that is too unsure for one; or (N, C), 1 for each
        label.
        """
        found, decision = self.predictions, self.decision
        if found is None or decision is None:
            return None if found is None else found.predicted
        return np.where(decision.rejects(found.logits), -1, decision.answer(found.logits))

    @property
    def answer_rule(self) -> str:
        """Return what of a decision changes the answers, in words; empty if nothing does."""
        if self.decision is None:
            return ""
        if self.decision.threshold is not None:
            return "with the threshold"
        return "with the least confidence" if self.decision.rejection is not None else ""

    @cached_property
    def group(self) -> Group | None:
        """Return the run as the row of a report; None unless it has finished."""
        return group_runs([self.finished])[0] if self.finished else None

    @cached_property
    def network(self) -> Network:
        """Return the declared network."""
        return declare_network(self.trained.run)

    def write_source(self) -> str:
        """Return the source of the data, without the folders that lead to it on one machine."""
        return shorten_source(self.spec.data.source)

    def hide_paths(self, text: str) -> str:
        """Return a text in which each path of the run's settings is shortened to its name."""
        # The longest first: a teacher may be in the folder of the data.
        for path in sorted(list_paths(self.spec), key=len, reverse=True):
            for written in {path, plain(path), repr(path)[1:-1]}:
                text = text.replace(written, plain(Path(path).name))
        return text


def list_paths(spec: RunSpec) -> list[str]:
    """Return the paths of files and folders that the settings of a run name."""
    settings = flatten(spec.model_dump(mode="json"))
    found = [settings[key] for key in PATHS if key in settings and key != "data.source"]
    if has_path(spec.data.source):
        found.append(spec.data.source.partition(":")[2])
    return [path for path in found if Path(path).name]


def shorten_source(source: str) -> str:
    """Return `folder:photos` for `folder:/home/somebody/photos`."""
    scheme, _, path = source.partition(":")
    return f"{scheme}:{Path(path).name}" if has_path(source) and path else source
