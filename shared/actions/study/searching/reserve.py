"""Time that the search keeps for the finals: that of testing more than one finalist.

The validation part of one fold is small, and promotes the wrong candidate easily. Finals with two
or three candidates put this right, finals with one cannot. So a trial of a candidate that has a
result already, with more epochs or other settings, does not begin if fewer finalists could be
tested on all splits after it: two at least, and three once it has half of the epochs.
"""

from collections.abc import Sequence

from poc.shared.actions.study.costs import MARGIN, Costs
from poc.shared.actions.study.jobs import Job, Trial
from poc.shared.data.protocol.protocol import SEARCH_SEEDS, Protocol

from .students import put_teachers_first

FEW, MORE = 2, 3
"""Finalists that a trial leaves time for: with fewer epochs than `MORE_FROM` of them, and else."""
MORE_FROM = 1 / 2


def keeps_finalists(
    job: Job, seconds: float, ranked: Sequence[Trial], protocol: Protocol, costs: Costs, left: float
) -> bool:
    """Return whether a trial takes no finalist away.

    Where two do not fit before it either, it takes none: a good choice is worth more than time for
    one candidate.

    Args:
        job: The trial, of a candidate in `ranked`.
        seconds: Its cost.
        ranked: The best trial of each candidate, the best candidate first.
        protocol: The splits that each finalist is tested on.
        costs: Costs so far.
        left: Seconds that are left for all cells.
    """
    most = MORE if job.share >= MORE_FROM else FEW
    kept = min(most, count_testable(ranked, protocol, costs, left))
    if kept < FEW:
        return True
    own = [Trial(job, trial.outcome) for trial in ranked if trial.job.candidate == job.candidate]
    others = [trial for trial in ranked if trial.job.candidate != job.candidate]
    return count_testable([*own, *others], protocol, costs, left - seconds) >= kept


def count_testable(ranked: Sequence[Trial], protocol: Protocol, costs: Costs, left: float) -> int:
    """Return how many of the first trials fit into the time as finalists, in one framework."""
    needed = 0.0
    for count, trial in enumerate(put_teachers_first(ranked)):
        job = trial.job
        each = costs.estimate(job.candidate, job.share, job.backend) or 0.0
        needed += MARGIN * each * count_cells(job, protocol)
        if needed > left:
            return count
    return len(ranked)


def count_cells(job: Job, protocol: Protocol) -> int:
    """Return the number of cells of a finalist in one framework, with those that choose."""
    if protocol.cells[0].split.kind == "kfold":
        return len(protocol.cells)
    if job.candidate.is_deterministic:
        return 1
    return len(protocol.cells) + len(SEARCH_SEEDS) - 1
