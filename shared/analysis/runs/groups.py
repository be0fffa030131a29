"""Rows of a report: runs that differ only in the seed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.intervals import (
    Confusion,
    Spread,
    area_under_curve,
    confusion_matrix,
    count_pairs,
    spread,
)
from poc.shared.analysis.statistics.uncertainty import (
    Evidence,
    SeedModel,
    weigh_accuracies,
    weigh_answers,
)
from poc.shared.engine.numerics.metrics import Interval
from poc.shared.errors import UsageError
from poc.shared.spec.run import BACKENDS, RunSpec

from .predictions import Predictions, same_images
from .reading import Run
from .row_labels import CLASSES, Settings, flatten, place_row, tell_apart
from .split_kind import find_kind, list_unread


class DataKey(NamedTuple):
    """The data of a row; only rows of equal keys are compared. Fingerprints are from `run.json`."""

    source: str
    source_fingerprint: str
    split_fingerprint: str
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """One row: runs of the same settings, over seeds.

    `seed_model` is shared by all rows of the same data; this row is at `place` in it. Without it
    the row's interval uses its own evidence alone.
    """

    label: str
    runs: tuple[Run, ...]
    seed_model: SeedModel | None = None
    place: int = 0

    @property
    def backend(self) -> str:
        """Return the framework of the runs, `tf` or `torch`."""
        return str(self.runs[0].row["backend"])

    @property
    def data(self) -> DataKey:
        """Return source, content, split and classes: rows of other data are not compared."""
        record = self.runs[0].record.data
        return DataKey(
            record.source,
            record.source_fingerprint,
            record.split_fingerprint,
            tuple(record.class_names),
        )

    @property
    def num_test_images(self) -> int:
        """Return the number of test images, 0 without a test part."""
        return self.runs[0].record.data.counts.get("test", 0)

    @cached_property
    def interval(self) -> Interval | None:
        """Return the 95 % interval of the method's accuracy, over test images and seeds."""
        if self.evidence is None:
            return None
        if self.seed_model is None:
            return SeedModel([self.evidence]).interval(0)
        return self.seed_model.interval(self.place)

    @cached_property
    def evidence(self) -> Evidence | None:
        """Return the evidence of the test answers, or of accuracies if answers are missing.

        Returns None without a test part.
        """
        answers = self.answers_by_seed
        if answers is not None:
            return weigh_answers(answers)
        accuracies: dict[int, list[float]] = {}
        for run in self.runs:
            if run.row.get("test_accuracy") is not None:
                accuracies.setdefault(seed_of(run), []).append(run.row["test_accuracy"])
        if not accuracies or not self.num_test_images:
            return None
        means = [float(np.mean(values)) for values in accuracies.values()]
        return weigh_accuracies(means, self.num_test_images)

    @cached_property
    def answers_by_seed(self) -> NDArray[np.float64] | None:
        """Return (S, N) answers, 1 for right and 0 for wrong, of S seeds on N images.

        Runs of the same seed are averaged, because they are not further seeds. Returns None if a
        run has no predictions or was tested on other images.
        """
        if not share_test_images(self, self):
            return None
        answers: dict[int, list[NDArray[np.bool_]]] = {}
        for run in self.runs:
            if run.predictions is not None:
                answers.setdefault(seed_of(run), []).append(run.predictions.hits)
        return np.stack([np.mean(hits, axis=0) for hits in answers.values()])

    def values(self, column: str) -> list[float]:
        """Return a column of the runs' summaries, without runs that lack it."""
        return [run.row[column] for run in self.runs if run.row.get(column) is not None]

    @property
    def threads(self) -> str:
        """Return the numbers of threads of one operation in the runs."""
        return list_threads([run.row for run in self.runs])

    def spread(self, column: str) -> Spread | None:
        """Return mean and standard deviation of a column; None if no run has it."""
        values = self.values(column)
        return spread(values) if values else None

    def over_runs(self, figure: Callable[[Predictions], float | None]) -> Spread | None:
        """Return mean and standard deviation of a figure of the test answers; None without any."""
        known = [figure(run.predictions) for run in self.runs if run.predictions is not None]
        values = [value for value in known if value is not None]
        return spread(values) if values else None

    @property
    def is_multi_label(self) -> bool:
        """Return whether the test images of the runs may have any number of labels."""
        return any(run.predictions and run.predictions.is_multi_label for run in self.runs)

    def area_under_curve(self) -> Spread | None:
        """Return the area under the ROC curve over the runs; None unless there are two classes."""
        if self.is_multi_label:
            return None
        return self.over_runs(lambda item: area_under_curve(item.logits, item.labels))

    def confusion(self) -> NDArray[np.int64] | None:
        """Return (C, C) counts over all runs: for few classes."""
        known = self.answers()
        num_classes = len(self.runs[0].record.data.class_names)
        return None if known is None else confusion_matrix(*known, num_classes)

    def confused(self) -> list[Confusion] | None:
        """Return the counts above 0 over all runs: for any number of classes."""
        known = self.answers()
        return None if known is None else count_pairs(*known)

    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return (N,) labels and (N,) predicted classes, joined over all runs that were tested."""
        tested = [run.predictions for run in self.runs if run.predictions is not None]
        # With any number of labels, an answer is not one class that was taken for another.
        if not tested or self.is_multi_label:
            return None
        labels = np.concatenate([item.labels for item in tested])
        return labels, np.concatenate([item.predicted for item in tested])


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs into rows, ordered by method, then by their numbers, tf before torch."""
    members: dict[str, list[Run]] = {}
    given: dict[str, Settings] = {}
    full: dict[str, Settings] = {}
    for run in runs:
        settings = described(run.record.run, run)
        resolved = described(resolve_options(run.record.run), run)
        key = json.dumps(resolved, sort_keys=True)
        members.setdefault(key, []).append(run)
        given.setdefault(key, settings)
        full[key] = resolved
    varied = [read_axes(own) for own in members.values()]
    labels = tell_apart(list(given.values()), list(full.values()), varied)
    rows = [
        (label, Group(label.text, tuple(sorted(own, key=seed_of))))
        for label, own in zip(labels, members.values(), strict=True)
    ]
    rows.sort(key=lambda row: place_row(row[0].words, row[1].backend))
    return lend_seeds([group for _, group in rows])


def read_axes(runs: Sequence[Run]) -> Mapping[str, object] | None:
    """Return the settings that a sweep gave to a row's runs; None if these differ or are none."""
    found = [run.record.sweep.get("settings") for run in runs]
    is_known = isinstance(found[0], dict) and all(own == found[0] for own in found)
    return found[0] if is_known else None


def lend_seeds(groups: Sequence[Group]) -> list[Group]:
    """Give rows of the same data a common model of the effect of seeds."""
    placed = {id(group): group for group in groups}
    for members in by_data(groups):
        known = [(group, group.evidence) for group in members if group.evidence]
        model = SeedModel([evidence for _, evidence in known]) if known else None
        for place, (group, _) in enumerate(known):
            placed[id(group)] = replace(group, seed_model=model, place=place)
    return list(placed.values())


def by_data(groups: Sequence[Group]) -> list[list[Group]]:
    """Group rows by their data, in their order."""
    found: dict[DataKey, list[Group]] = {}
    for group in groups:
        found.setdefault(group.data, []).append(group)
    return list(found.values())


def name_data(keys: Sequence[DataKey]) -> dict[DataKey, str]:
    """Name each data set by its source, and by fingerprints where one source has several."""
    names = {}
    for key in keys:
        alike = {other for other in keys if other.source == key.source} - {key}
        parts = [key.source]
        if any(other.source_fingerprint != key.source_fingerprint for other in alike):
            parts.append(f"content {key.source_fingerprint[:8] or 'unknown'}")
        if any(other.split_fingerprint != key.split_fingerprint for other in alike):
            parts.append(f"split {key.split_fingerprint[:8]}")
        names[key] = parts[0] if not parts[1:] else f"{parts[0]} ({', '.join(parts[1:])})"
    return names


def match_backends(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Find the rows that differ only in the framework: pairs (tf, torch)."""
    found: dict[str, dict[str, Group]] = {}
    for group in groups:
        settings = described(resolve_options(group.runs[0].record.run), group.runs[0])
        key = json.dumps({**settings, "backend": ""}, sort_keys=True)
        found.setdefault(key, {})[group.backend] = group
    return [(own["tf"], own["torch"]) for own in found.values() if len(own) == len(BACKENDS)]


def described(settings: Mapping[str, object], run: Run) -> Settings:
    """Return a run's settings without the seed, but with its images, split and classes."""
    flat = flatten({key: value for key, value in settings.items() if key != "seed"})
    recorded = run.record.data
    # A default that nothing reads, such as a fold, would name a row.
    unread = list_unread(find_kind(flat.get("data.split.kind", ""), recorded.notes))
    return {
        **{key: value for key, value in flat.items() if key not in unread},
        "data.source_fingerprint": recorded.source_fingerprint[:8],
        "data.split_fingerprint": recorded.split_fingerprint[:8],
        CLASSES: json.dumps(recorded.class_names, ensure_ascii=False),
    }


def resolve_options(settings: Mapping[str, object]) -> Mapping[str, object]:
    """Fill in the model's defaults; settings that this version cannot parse stay unchanged."""
    try:
        run = RunSpec.parse(dict(settings), "")
        options = run.model_spec.resolved().model_dump(mode="json")
    except UsageError:
        return settings
    model = {**run.model_spec.model_dump(mode="json"), "options": options}
    return {**settings, "model": model}


def seed_of(run: Run) -> int:
    """Return the seed of a run as an integer."""
    return int(run.row["seed"])


def list_threads(rows: Iterable[Mapping[str, object]]) -> str:
    """List each number of threads that the runs had, `1; 2`; a dash if none is known."""
    known = {str(row["threads"]) for row in rows if row.get("threads") is not None}
    return "; ".join(sorted(known)) or "-"


def share_test_images(first: Group, second: Group) -> bool:
    """Return whether all runs of two rows have predictions for the same labelled images."""
    predictions = [run.predictions for run in (*first.runs, *second.runs)]
    known = [item for item in predictions if item is not None]
    return len(known) == len(predictions) > 0 and all(same_images(known[0], item) for item in known)
