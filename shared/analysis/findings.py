"""What a report's reader must know before believing its table: warnings, in plain sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from .groups import DataKey, Group, share_test_images
from .runs import Run
from .statistics import (
    MIN_RUNS_TO_RANK,
    combine_p_values,
    established_winner,
    holm,
    majority_share,
    mcnemar,
    overlap,
)

MIN_VALIDATION_IMAGES = 100
SIGNIFICANCE = 0.05
MACHINE_KEYS = ("platform", "processor", "num_cpus", "device")
NOT_ESTABLISHED = "This ranking is not established"


class Pair(NamedTuple):
    """McNemar tests of two rows, seed by seed; `reason` says why there are none.

    `only_first` and `only_second` are images, summed over the tests; `num_first` and `num_second`
    are the tests that alone show that row to be right more often.
    """

    first: str
    second: str
    only_first: int = 0
    only_second: int = 0
    num_tests: int = 0
    num_first: int = 0
    num_second: int = 0
    p_value: float | None = None
    adjusted: float | None = None
    reason: str = ""

    @property
    def winner(self) -> str | None:
        """The row that is right more often: every test shows it, and so does the pair's p value.

        A small p of the pair says that some two models differ. Where another seed shows nothing, or
        the opposite, that is no property of the rows.
        """
        if self.adjusted is None or self.adjusted >= SIGNIFICANCE:
            return None
        if self.num_tests in (self.num_first, self.num_second):
            return self.first if self.num_first else self.second
        return None


def collect_findings(groups: Sequence[Group]) -> list[str]:
    """Every warning about the rows, the verdict on the ranking first."""
    return [
        *judge_ranking(groups),
        *warn_of_baseline(groups),
        *warn_of_constant_answers(groups),
        *warn_of_small_validation(groups),
        *warn_of_conditions(groups),
    ]


def by_data(groups: Sequence[Group]) -> list[list[Group]]:
    """Rows that share their data, in their order."""
    found: dict[DataKey, list[Group]] = {}
    for group in groups:
        found.setdefault(group.data, []).append(group)
    return list(found.values())


def judge_ranking(groups: Sequence[Group]) -> Iterator[str]:
    """Which row is the best, or that none is shown to be."""
    parts = by_data(groups)
    if len(parts) > 1:
        yield (
            f"The rows come from {len(parts)} different data sets or splits; rows of different "
            "data are not compared."
        )
    for members in parts:
        ranked = [group for group in members if group.interval]
        if len(ranked) < 2:
            continue
        intervals = {group.label: group.interval for group in ranked if group.interval}
        counts = {group.label: len(group.values("test_accuracy")) for group in ranked}
        winner = established_winner(intervals, counts)
        yield (
            describe_doubt(ranked)
            if winner is None
            else (f"{winner} is the most accurate row: its 95 % interval lies above every other.")
        )


def describe_doubt(ranked: Sequence[Group]) -> str:
    """Why no row is called the best."""
    best = max(ranked, key=mean_accuracy)
    rivals = [
        group.label
        for group in ranked
        if group is not best
        and group.interval
        and best.interval
        and overlap(group.interval, best.interval)
    ]
    if rivals:
        return (
            f"{NOT_ESTABLISHED}: {best.label} has the highest mean accuracy, but its 95 % interval "
            f"overlaps with that of {len(rivals)} of {len(ranked) - 1} other rows "
            f"({list_some(rivals)})."
        )
    single = [row.label for row in ranked if len(row.values("test_accuracy")) < MIN_RUNS_TO_RANK]
    return (
        f"{NOT_ESTABLISHED}: of {list_some(single)} there is one run, which says nothing about the "
        f"next seed; at least {MIN_RUNS_TO_RANK} runs a row are needed."
    )


def mean_accuracy(group: Group) -> float:
    """Mean test accuracy; a row without one comes last."""
    accuracy = group.spread("test_accuracy")
    return accuracy.mean if accuracy else -1.0


def baseline(group: Group) -> tuple[str, float] | None:
    """The most frequent class of a row's test images, and its share."""
    for run in group.runs:
        if run.predictions is not None:
            label, share = majority_share(run.predictions.labels)
            return run.record.data.class_names[label], share
    return None


def warn_of_baseline(groups: Sequence[Group]) -> Iterator[str]:
    """Rows that are not shown to beat a constant answer."""
    low = []
    for group in groups:
        known = baseline(group)
        if known and group.interval and group.interval.low <= known[1]:
            low.append(group.label)
    if low:
        yield (
            f"Not shown to be better than always answering the most frequent class: "
            f"{list_some(low)}."
        )


def warn_of_constant_answers(groups: Sequence[Group]) -> Iterator[str]:
    """Runs that answer one class for every test image."""
    names = [
        f"{group.label} seed {run.row['seed']}"
        for group in groups
        for run in group.runs
        if run.predictions is not None and len(np.unique(run.predictions.predicted)) == 1
    ]
    if names:
        yield f"Collapsed, one answer for every test image: {list_some(names)}."


def warn_of_small_validation(groups: Sequence[Group]) -> Iterator[str]:
    """Runs whose weights were chosen on too few images."""
    small = {
        group.label: run.record.data.counts["val"]
        for group in groups
        for run in group.runs
        if 0 < run.record.data.counts.get("val", 0) < MIN_VALIDATION_IMAGES
    }
    if small:
        yield (
            f"The kept epoch was chosen on fewer than {MIN_VALIDATION_IMAGES} validation images "
            f"({min(small.values())} of {list_some(list(small))}): that choice is mostly chance."
        )


def warn_of_conditions(groups: Sequence[Group]) -> Iterator[str]:
    """Times and results that were not taken under the same conditions."""
    runs = [run for group in groups for run in group.runs]
    machines = list_machines(runs)
    if len(machines) > 1:
        counts = Counter(machine_of(run) for run in runs)
        listed = ", ".join(f"{name}: {counts[key]} runs" for key, name in machines.items())
        yield f"The runs come from different machines ({listed}); do not compare their times."
    commits = {str(run.record.environment.get("git_commit")) for run in runs}
    if len(commits) > 1:
        yield f"The runs come from {len(commits)} states of the code: {list_some(sorted(commits))}."
    threads = {str(run.row["threads"]) for run in runs if run.row["threads"] is not None}
    if len(threads) > 1:
        yield (
            f"The runs had different numbers of threads ({'; '.join(sorted(threads))}): sums are "
            "added in other orders, so that accuracies of one seed differ for that reason too."
        )
    beside = {group.label for group in groups for run in group.runs if shares_machine(run)}
    if beside:
        yield (
            f"Several runs at a time shared a machine or a cluster ({len(beside)} rows): their "
            "times are no measurement."
        )


def shares_machine(run: Run) -> bool:
    """Whether other runs of a sweep went on beside a run, as far as is known."""
    sweep = run.record.sweep
    return bool(sweep) and sweep.get("jobs") != 1


def machine_of(run: Run) -> tuple[str, ...]:
    """What tells one machine from another; both frameworks name a device in their own way."""
    values = [str(run.record.environment.get(key, "unknown")) for key in MACHINE_KEYS]
    return (*values[:-1], values[-1].lower().replace("/device:", "").partition(":")[0])


def list_machines(runs: Sequence[Run]) -> dict[tuple[str, ...], str]:
    """Each machine, and the letter that stands for it."""
    found: dict[tuple[str, ...], str] = {}
    for run in runs:
        found.setdefault(machine_of(run), name_machine(len(found)))
    return found


def name_machine(index: int) -> str:
    """A, B, … Z, then numbers."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def compare_pairs(groups: Sequence[Group]) -> list[Pair]:
    """McNemar tests of every two rows, adjusted for their number."""
    pairs = [compare_pair(first, second) for first, second in combinations(groups, 2)]
    known = [pair.p_value for pair in pairs if pair.p_value is not None]
    adjusted = iter(holm(known))
    return [
        pair if pair.p_value is None else pair._replace(adjusted=next(adjusted)) for pair in pairs
    ]


def compare_pair(first: Group, second: Group) -> Pair:
    """One test a seed that both rows have; without such a seed, in the order of the seeds."""
    if not share_test_images(first, second):
        return Pair(first.label, second.label, reason="other test images, or predictions missing")
    tests = []
    for one, other in match_runs(first, second):
        if one.predictions is not None and other.predictions is not None:
            tests.append(mcnemar(one.predictions.hits, other.predictions.hits))
    shown = [test for test in tests if test.p_value < SIGNIFICANCE]
    return Pair(
        first.label,
        second.label,
        only_first=sum(test.only_first for test in tests),
        only_second=sum(test.only_second for test in tests),
        num_tests=len(tests),
        num_first=sum(test.only_first > test.only_second for test in shown),
        num_second=sum(test.only_second > test.only_first for test in shown),
        p_value=combine_p_values([test.p_value for test in tests]),
    )


def match_runs(first: Group, second: Group) -> list[tuple[Run, Run]]:
    """Runs of equal seed; where there are none, runs in their order."""
    seeds: dict[Any, Run] = {run.row["seed"]: run for run in second.runs}
    matched = [(run, seeds[run.row["seed"]]) for run in first.runs if run.row["seed"] in seeds]
    return matched or list(zip(first.runs, second.runs, strict=False))


def list_some(names: Sequence[str], count: int = 6) -> str:
    """The first names, and how many more there are."""
    listed = ", ".join(names[:count])
    return listed if len(names) <= count else f"{listed} and {len(names) - count} more"
