"""Warnings about a report's rows, as sentences, and the facts that they share."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import (
    Group,
    by_data,
)
from poc.shared.analysis.runs.load import load_notes
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.statistics.intervals import majority_share

MIN_VALIDATION_IMAGES = 100
MACHINE_KEYS = ("platform", "processor", "num_cpus")


def collect_findings(groups: Sequence[Group]) -> list[str]:
    """Return every warning about the rows."""
    return [
        *warn_of_several_data(groups),
        *warn_of_missing_answers(groups),
        *warn_of_constant_answers(groups),
        *warn_of_decisions(groups),
        *warn_of_small_validation(groups),
        *warn_of_conditions(groups),
        *load_notes([run.row for group in groups for run in group.runs]),
    ]


def warn_of_several_data(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of rows that are not compared, because their images differ."""
    parts = by_data(groups)
    if len(parts) > 1:
        yield (
            f"The rows come from {len(parts)} different data sets or splits; rows of different "
            "data are not compared."
        )
    contents: dict[tuple[str, ...], set[str]] = {}
    for group in groups:
        data, settings = group.data, group.runs[0].record.run.get("data", {})
        # A user who asks for other classes, or skips unreadable files, has not changed the images.
        wish = (str(settings.get(key)) for key in ("class_pattern", "on_error"))
        own = contents.setdefault((data.source, *wish, *data.class_names), set())
        own.add(data.source_fingerprint)
    for (source, *_), found in contents.items():
        if len(found) > 1:
            yield (
                f"The images or labels of {source} have changed between its runs (the "
                f"source_fingerprint in run.json is {list_names(sorted(written(found)))}): runs "
                "before and after the change are neither averaged nor compared."
            )


def written(fingerprints: Iterable[str]) -> Iterator[str]:
    """Yield the first eight digits of each fingerprint, or that it was not recorded."""
    return (text[:8] or "not recorded" for text in fingerprints)


def warn_of_missing_answers(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of runs that have a test part but no predictions."""
    names = [
        run.name
        for group in groups
        for run in group.runs
        if run.predictions is None and run.record.data.counts.get("test", 0)
    ]
    if names:
        yield (
            f"There is no predictions.npz in {list_names(names)}: a row without it is compared "
            "neither with other rows nor with the majority baseline."
        )


def mean_accuracy(group: Group) -> float:
    """Return the mean test accuracy; -1 without one, so that such a row is sorted last."""
    accuracy = group.spread("test_accuracy")
    return accuracy.mean if accuracy else -1.0


def baseline(group: Group) -> tuple[str, float] | None:
    """Return the most frequent class of a row's test images and its share.

    Returns None if no run of the row has predictions.
    """
    for run in group.runs:
        if run.predictions is not None:
            label, share = majority_share(run.predictions.labels)
            return name_answer(label, run.record.data.class_names), share
    return None


def name_answer(label: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Name a class (), or a set of labels (C,) with 1 for each."""
    if label.ndim == 0:
        return class_names[int(label)]
    named = [name for name, is_set in zip(class_names, label, strict=True) if is_set]
    return " and ".join(named) or "no label"


def warn_of_constant_answers(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of runs that answer the same class for every test image."""
    names = [
        f"{group.label} seed {run.row['seed']}"
        for group in groups
        for run in group.runs
        if run.predictions is not None and len(np.unique(run.predictions.predicted, axis=0)) == 1
    ]
    if names:
        yield f"Collapsed, one answer for every test image: {list_names(names)}."


def warn_of_decisions(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of decisions that cannot be used, with the reason of the first one."""
    faults = [run.decision_fault for group in groups for run in group.runs if run.decision_fault]
    if faults:
        more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
        yield f"A decision is not used{more}: {faults[0]}"


def warn_of_small_validation(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of runs whose weights were chosen on too few validation images."""
    small = {
        group.label: run.record.data.counts["val"]
        for group in groups
        for run in group.runs
        if 0 < run.record.data.counts.get("val", 0) < MIN_VALIDATION_IMAGES
        and run.row.get("epoch_choice") != "last"
    }
    if small:
        yield (
            f"The kept epoch was chosen on fewer than {MIN_VALIDATION_IMAGES} validation images "
            f"({min(small.values())} of {list_names(list(small))}): that choice is mostly chance."
        )


def warn_of_conditions(groups: Sequence[Group]) -> Iterator[str]:
    """Warn of times and results that were not taken under the same conditions."""
    runs = [run for group in groups for run in group.runs]
    machines = list_machines(runs)
    if len(machines) > 1:
        counts = Counter(machine_of(run) for run in runs)
        listed = ", ".join(f"{name}: {counts[key]} runs" for key, name in machines.items())
        yield f"The runs come from different machines ({listed}); do not compare their times."
    commits = {str(run.record.environment.get("git_commit")) for run in runs}
    if len(commits) > 1:
        listed = list_names(sorted(commits))
        yield f"The runs come from {len(commits)} states of the code: {listed}."
    threads = {str(run.row["threads"]) for run in runs if run.row["threads"] is not None}
    if len(threads) > 1:
        yield (
            f"The runs had different numbers of threads ({'; '.join(sorted(threads))}): each adds "
            "sums in an order of its own, so accuracies of one seed differ for this reason too."
        )
    beside = {group.label for group in groups for run in group.runs if shares_machine(run)}
    if beside:
        yield (
            f"Several runs at a time shared a machine or a cluster ({len(beside)} rows): their "
            "times are not measurements."
        )


def shares_machine(run: Run) -> bool:
    """Return whether other runs of its sweep may have run at the same time."""
    sweep = run.record.sweep
    return bool(sweep) and sweep.get("jobs") != 1


def machine_of(run: Run) -> tuple[str, ...]:
    """Return the facts that tell one machine from another."""
    environment = run.record.environment
    values = [str(environment.get(key, "unknown")) for key in MACHINE_KEYS]
    return (*values, device_of(environment, run.record.run))


def device_of(environment: Mapping[str, object], run: Mapping[str, object]) -> str:
    """Return `cpu`, or the GPU's name: `gpu` in records of TensorFlow until November 2026.

    These list all devices that TensorFlow saw, the GPU last: `/device:CPU:0, /device:GPU:0`. Those
    of PyTorch named the GPU of runs with device=cpu, too.
    """
    if run.get("device") == "cpu":
        return "cpu"
    name = str(environment.get("device", "unknown")).lower()
    return name.rpartition("/device:")[2].partition(":")[0]


def list_machines(runs: Sequence[Run]) -> dict[tuple[str, ...], str]:
    """Return each machine with the letter that stands for it."""
    found: dict[tuple[str, ...], str] = {}
    for run in runs:
        found.setdefault(machine_of(run), name_machine(len(found)))
    return found


def name_machine(index: int) -> str:
    """Return A, B, … Z, then the numbers from 27 on."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def name_baseline(group: Group) -> str:
    """Return the constant answer that a row is compared with: `always “cat”`."""
    known = baseline(group)
    return f"always “{known[0]}”" if known else "the most frequent class"


def list_names(names: Sequence[str]) -> str:
    """List all names in a sentence: `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
