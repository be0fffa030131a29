"""Costs of cells: measured as they end, and estimated for those to come."""

from statistics import fmean

from .candidates import Candidate
from .jobs import Trial

# A cell in a framework that has not run yet, over one in the other framework.
FRAMEWORK_RATIO = 1.3
# Cells to come must leave this much of their estimate over, since the machine may become slower.
MARGIN = 1.1


class Costs:
    """Seconds of cells by candidate, share of the epochs, framework and phase."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, float, str, str], list[float]] = {}

    def add(self, trial: Trial) -> None:
        """Count a cell that has finished."""
        if trial.outcome.is_finished:
            job = trial.job
            key = (job.candidate.name, job.share, job.backend, job.phase)
            self._seconds.setdefault(key, []).append(trial.outcome.seconds)

    def estimate(
        self, candidate: Candidate, share: float, backend: str, phase: str = "search"
    ) -> float | None:
        """Estimate the seconds of a cell; None before any cell has ended.

        The candidate's own cells come first, those of the same phase before others: the search
        shares the outputs of frozen layers, and the finals compute them. Of these the same share
        counts, or the nearest one, scaled. A candidate that has not run yet is taken to cost as
        much as the mean of all cells.
        """
        measured = {
            key: seconds for key, seconds in self._seconds.items() if key[0] == candidate.name
        }
        alike = {key: seconds for key, seconds in measured.items() if key[3] == phase} or measured
        own = {(key[1], key[2]): fmean(found) for key, found in alike.items()}
        if not own:
            every = [second for found in self._seconds.values() for second in found]
            return fmean(every) if every else None
        nearest = min(own, key=lambda key: (abs(key[0] - share), key[1] != backend))
        # The start of a process does not grow with the share, so that this is an upper bound.
        grown = own[nearest] * max(share / nearest[0], 1.0)
        return grown if nearest[1] == backend else grown * self._ratio(backend, nearest[1])

    def _ratio(self, backend: str, other: str) -> float:
        """Return the mean ratio of the cells that ran in both frameworks, or the assumed one."""
        ratios = [
            fmean(found) / fmean(self._seconds[name, share, other, phase])
            for (name, share, own, phase), found in self._seconds.items()
            if own == backend and (name, share, other, phase) in self._seconds
        ]
        return fmean(ratios) if ratios else FRAMEWORK_RATIO
