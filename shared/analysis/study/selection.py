"""The choice of a candidate on validation images, and the accuracy of the chosen one.

The recommended candidate has the highest share of right validation answers. On a holdout, networks
of the search choose, and others, of further seeds, are tested: a network that is lucky on
validation images is lucky on test images too.

With folds, an image that tests in one fold validates in others, and all networks take part in the
choice. Its own test answers would flatter it. The choice is therefore judged cell by cell: each
cell by the choice that the other networks would have made on the images outside of the cell's test
part. This is the accuracy of networks and images that the choice did not use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .costs import Cost
from .limits import find_allowed
from .results import FinalRun, Results, SearchRun
from .rows import ImageIndex, Table, sample_of

CellKey = tuple[int, int, int]
NO_COST = float("inf")


@dataclass(frozen=True)
class Choice:
    """A candidate in a framework, and its share of right validation answers."""

    candidate: str
    framework: str
    validation_accuracy: float


class Selector:
    """Chooses by validation answers.

    Args:
        results: Runs and costs.
        candidates: Candidates to choose from.
    """

    def __init__(self, results: Results, candidates: Sequence[str]) -> None:
        self._costs = results.costs
        keys = {(run.candidate, run.framework) for run in results.runs}
        self._allowed = find_allowed(keys, results.costs, results.limits)
        allowed = {name for name, _ in self._allowed}
        self._candidates = [name for name in candidates if name in allowed]
        self.is_by_search = bool(results.search) and not results.is_folds
        runs: Sequence[FinalRun | SearchRun] = keep_common(results.runs)
        if self.is_by_search:
            runs = results.search
        self._index = ImageIndex()
        places = [self._index.find(run.validation.ids) for run in runs]
        # (number, right) validation answers of each image, by candidate and framework, and cell.
        self._counts: dict[tuple[str, str], dict[CellKey, NDArray[np.float64]]] = {}
        for run, own in zip(runs, places, strict=True):
            counts = np.zeros((2, len(self._index.places)))
            counts[0, own] = 1
            counts[1, own] = run.validation.hits
            self._counts.setdefault((run.candidate, run.framework), {})[cell_of(run)] = counts

    def choose(self, without: Sequence[str] = (), cell: CellKey | None = None) -> Choice:
        """Choose the best candidate, then its better framework; of equals, the smaller.

        Rows over a limit are left out.

        Args:
            without: Images whose answers do not count.
            cell: Cell whose networks do not count, unless there are no others.
        """
        known = self._index.places
        counted = np.ones(len(known))
        counted[[known[name] for name in without if name in known]] = 0
        sums = {key: add_cells(own, cell) @ counted for key, own in self._counts.items()}
        shares = {}
        for candidate in self._candidates:
            own = sum(value for key, value in sums.items() if key[0] == candidate)
            shares[candidate] = share_of(np.asarray(own))
        best = min(self._candidates, key=lambda name: (-shares[name], self._size(name), name))
        # On a holdout, one framework alone has searched; a limit may leave only the other.
        keys = [key for key in self._allowed if key[0] == best]
        rows = {key: share_of(sums[key]) for key in keys if key in sums}
        rows = rows or dict.fromkeys(keys, shares[best])
        key = min(rows, key=lambda row: (-rows[row], latency_of(self._costs.get(row)), row))
        return Choice(*key, shares[best])

    def _size(self, candidate: str) -> float:
        sizes = [cost.weight_bytes for key, cost in self._costs.items() if key[0] == candidate]
        return min((size for size in sizes if size is not None), default=NO_COST)


def cell_of(run: FinalRun | SearchRun) -> CellKey:
    """Return the cell of a run: repeat, fold and seed."""
    return (0, 0, run.seed) if isinstance(run, SearchRun) else (run.repeat, run.fold, run.seed)


def add_cells(
    counts: Mapping[CellKey, NDArray[np.float64]], without: CellKey | None
) -> NDArray[np.float64]:
    """Add up the counts (2, n) of each cell but one; of all if there is no other."""
    kept = [own for cell, own in counts.items() if cell != without]
    added: NDArray[np.float64] = np.sum(kept or list(counts.values()), axis=0)
    return added


def share_of(counts: NDArray[np.float64]) -> float:
    """Return the share of right answers, from (2,) number and right ones; 0 of none."""
    return float(counts[1] / counts[0]) if counts[0] else 0.0


def latency_of(cost: Cost | None) -> float:
    """Return the latency; infinity if it was not measured."""
    known = None if cost is None else cost.latency_seconds
    return NO_COST if known is None else known


def keep_common(runs: Sequence[FinalRun]) -> list[FinalRun]:
    """Keep the runs on the splits that each candidate has, so that all validate on the same images.

    If there is no such split, all runs are kept.
    """
    splits: dict[str, set[tuple[int, int]]] = {}
    for run in runs:
        splits.setdefault(run.candidate, set()).add((run.repeat, run.fold))
    common = set.intersection(*splits.values())
    return [run for run in runs if not common or (run.repeat, run.fold) in common]


def judge_choice(
    results: Results, table: Table, selector: Selector, choice: Choice
) -> NDArray[np.float64]:
    """Return the answers (S, N) of what is chosen, each by a choice that did not use it."""
    chosen = table.rows[choice.candidate, choice.framework]
    answers = chosen.answers.copy()
    if selector.is_by_search:
        return answers
    places = {name: place for place, name in enumerate(table.ids)}
    for run in results.runs:
        if (run.candidate, run.framework) != (choice.candidate, choice.framework):
            continue
        other = selector.choose(run.test.ids, cell_of(run))
        row, sample = table.rows[other.candidate, other.framework], sample_of(run)
        if sample not in chosen.samples or sample not in row.samples:
            continue
        tested = [places[name] for name in run.test.ids if name in places]
        own, theirs = chosen.samples.index(sample), row.samples.index(sample)
        answers[own, tested] = row.answers[theirs, tested]
    return answers
