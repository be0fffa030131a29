"""Answers of the finalists on the same test images, one row per candidate, or per framework too."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.uncertainty import Evidence, Prior, weigh_answers

from .results import FinalRun, Results

# Small sets move the accuracy of a network more than the studies behind the prior of `poc report`:
# its middle is 1.6 points (sd) at an accuracy of 0.8, not 1.1.
NETWORK_SHARE, PAGE_SCATTER, ROW_SCATTER = 0.04, 0.6, 0.6
Sample = tuple[int, int]
"""Repeat and seed: together the folds of a sample test each image once."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        candidate: Name of the settings.
        framework: `tf`, `torch`, or empty if the answers of both are averaged.
        samples: The S samples, in order.
        answers: (S, N), 1 for right, 0 for wrong.
        num_runs: Number of trained networks.
        is_deterministic: Another seed gives the same answers.
    """

    candidate: str
    framework: str
    samples: tuple[Sample, ...]
    answers: NDArray[np.float64]
    num_runs: int
    is_deterministic: bool = False

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy."""
        return float(self.answers.mean())


@dataclass(frozen=True)
class Table:
    """All rows on the same N test images.

    Attributes:
        ids: The images, sorted.
        groups: (N,) number of each image's group; None without groups.
        rows: Candidate and framework -> row.
    """

    ids: tuple[str, ...]
    groups: NDArray[np.int64] | None
    rows: Mapping[tuple[str, str], Row]

    @cached_property
    def prior(self) -> Prior:
        """Return the prior of the effect of a sample: its networks, one per fold, average it."""
        per_sample = max(row.num_runs / len(row.samples) for row in self.rows.values())
        return Prior(NETWORK_SHARE / math.sqrt(per_sample), PAGE_SCATTER, ROW_SCATTER)

    @property
    def candidates(self) -> list[str]:
        """Return the candidates in the order of their runs."""
        return list(dict.fromkeys(candidate for candidate, _ in self.rows))

    def frameworks(self, candidate: str) -> list[str]:
        """Return the frameworks of a candidate, sorted."""
        return sorted(framework for name, framework in self.rows if name == candidate)

    @cached_property
    def averages(self) -> dict[str, Row]:
        """Return the row of each candidate, averaged over its frameworks sample by sample.

        A seed gives both frameworks equal initial weights and noise, so that two frameworks are not
        two seeds.
        """
        return {candidate: self._average(candidate) for candidate in self.candidates}

    @cached_property
    def evidence(self) -> dict[tuple[str, str], Evidence]:
        """Return the evidence of the rows that a seed moves."""
        return {
            key: weigh_answers(row.answers, self.groups)
            for key, row in self.rows.items()
            if not row.is_deterministic
        }

    def others(self, candidate: str, framework: str) -> list[Evidence]:
        """Return the evidence of each other candidate, in the same framework if it ran there.

        Averages of both frameworks would show too small an effect of seeds.
        """
        names = [name for name in self.candidates if name != candidate]
        keys = [(name, min(self.frameworks(name), key=framework.__ne__)) for name in names]
        return [self.evidence[key] for key in keys if key in self.evidence]

    def _average(self, candidate: str) -> Row:
        rows = [self.rows[candidate, framework] for framework in self.frameworks(candidate)]
        samples = sorted({sample for row in rows for sample in row.samples})
        answers = [
            np.mean([r.answers[r.samples.index(own)] for r in rows if own in r.samples], axis=0)
            for own in samples
        ]
        is_deterministic = all(row.is_deterministic for row in rows)
        num_runs = max(row.num_runs for row in rows)
        return Row(candidate, "", tuple(samples), np.stack(answers), num_runs, is_deterministic)


class ImageIndex:
    """Numbers images by their ids, in the order in which they are first seen."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self._known: dict[tuple[str, ...], NDArray[np.int64]] = {}

    def find(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the numbers of some images (n,); new ones get the next numbers."""
        key = tuple(ids)
        # Runs of one split have the same ids, of which there may be many thousands.
        if key not in self._known:
            numbers = [self.places.setdefault(name, len(self.places)) for name in key]
            self._known[key] = np.array(numbers, dtype=np.int64)
        return self._known[key]


def tabulate(results: Results) -> Table:
    """Bring all runs to the images that each row tested.

    A sample of a row that lacks some of these images, because a study ended early, is left out.
    """
    index = ImageIndex()
    places = [index.find(run.test.ids) for run in results.runs]
    found: dict[tuple[str, str], dict[Sample, NDArray[np.float64]]] = {}
    counts: Counter[tuple[str, str, Sample]] = Counter()
    for run, own in zip(results.runs, places, strict=True):
        samples = found.setdefault((run.candidate, run.framework), {})
        hits = samples.setdefault(sample_of(run), np.full(len(index.places), np.nan))
        hits[own] = run.test.hits
        counts[run.candidate, run.framework, sample_of(run)] += 1
    is_common = find_common(list(found.values()))
    ids = sorted(name for name, place in index.places.items() if is_common[place])
    chosen = index.find(ids)
    rows = {}
    for key, samples in found.items():
        full = sorted(own for own, hits in samples.items() if not np.isnan(hits[chosen]).any())
        answers = np.array([samples[own][chosen] for own in full])
        num_runs = sum(counts[*key, own] for own in full)
        is_deterministic = key[0] in results.deterministic
        rows[key] = Row(*key, tuple(full), answers, num_runs, is_deterministic)
    return Table(tuple(ids), number_groups(results.groups, ids), rows)


def sample_of(run: FinalRun) -> Sample:
    """Return the sample that a run belongs to."""
    return run.repeat, run.seed


def find_common(rows: Sequence[Mapping[Sample, NDArray[np.float64]]]) -> NDArray[np.bool_]:
    """Return which images (n,) each row tested in its fullest sample; a NaN was not tested."""
    tested = [[~np.isnan(hits) for hits in samples.values()] for samples in rows]
    fullest = [max(samples, key=np.count_nonzero) for samples in tested]
    common: NDArray[np.bool_] = np.logical_and.reduce(fullest)
    return common


def number_groups(groups: Mapping[str, str] | None, ids: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the number of each image's group (N,), from 0 on; None without groups."""
    if groups is None:
        return None
    numbers = np.unique([groups[name] for name in ids], return_inverse=True)[1]
    return numbers.reshape(-1).astype(np.int64)
