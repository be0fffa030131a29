"""The finals: the best candidates, trained again on every cell of the protocol, tested once each.

On a holdout, further networks of the search come first: three of each finalist choose. Cells run
split by split. Where they show that the plan is too large for the time that is left, it shrinks, so
that the rows that remain are tested on all splits.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from poc.shared.data.protocol.protocol import SEARCH_SEEDS, Cell, Protocol

from .candidates import Candidate
from .clock import Clock
from .costs import Costs
from .jobs import Job, Trial
from .recorded_cells import RecordedCells
from .search import spare

MAX_FINALISTS = 5
# A plan must leave this much of its own estimate over, since the machine may become slower.
MARGIN = 1.1


@dataclass(frozen=True, kw_only=True)
class FinalsPlan:
    """The finalists, by their best trials, and the frameworks that test them, in order."""

    finalists: tuple[Trial, ...]
    frameworks: tuple[str, ...]


def plan_finals(
    ranked: Sequence[Trial],
    frameworks: Sequence[str],
    protocol: Protocol,
    costs: Costs,
    clock: Clock,
) -> FinalsPlan:
    """Choose the largest plan that fits into the time that is left.

    Two finalists in both frameworks come before more in one, and one finalist in one framework is
    the least: it runs as far as the time goes.
    """
    left = clock.left - spare(clock.budget_seconds)
    plans = list_plans(ranked, frameworks)
    for plan in plans:
        jobs = [*list_choosing(plan, protocol), *list_finals(plan, protocol)]
        if MARGIN * cost_of(jobs, costs) <= left:
            return plan
    return plans[-1]


def list_plans(ranked: Sequence[Trial], frameworks: Sequence[str]) -> list[FinalsPlan]:
    """Return the plans in the order of preference; one without finalists if there are none."""
    plans = [
        FinalsPlan(finalists=tuple(ranked[:count]), frameworks=tuple(frameworks[:number]))
        for count, number in list_sizes(len(ranked), len(frameworks))
    ]
    return plans or [FinalsPlan(finalists=(), frameworks=tuple(frameworks))]


def list_sizes(num_ranked: int, num_frameworks: int) -> Iterator[tuple[int, int]]:
    """Yield (finalists, frameworks) in the order of preference."""
    most = min(num_ranked, MAX_FINALISTS)
    for count in range(most, 1, -1):
        yield count, num_frameworks
    for count in range(min(most, 3), 1, -1):
        yield count, 1
    if most:
        yield 1, num_frameworks
        yield 1, 1


def cost_of(jobs: Iterable[Job], costs: Costs) -> float:
    """Estimate the seconds of some cells."""
    return sum(
        costs.estimate(job.candidate, job.share, job.backend, job.phase) or 0.0 for job in jobs
    )


def list_choosing(plan: FinalsPlan, protocol: Protocol) -> Iterator[Job]:
    """Yield the further networks of the search, between which a holdout chooses."""
    if protocol.cells[0].split.kind == "kfold":
        return
    for seed in SEARCH_SEEDS[1:]:
        for trial in plan.finalists:
            if not trial.job.candidate.is_deterministic:
                yield Job(
                    phase="search",
                    candidate=trial.job.candidate,
                    backend=plan.frameworks[0],
                    split=protocol.cells[0].search_split,
                    seed=seed,
                    place="again",
                    proposal=trial.job.proposal,
                    share=trial.job.share,
                )


def list_finals(plan: FinalsPlan, protocol: Protocol) -> Iterator[Job]:
    """Yield the cells that test, split by split."""
    for number, cell in enumerate(protocol.cells):
        for trial in plan.finalists:
            if is_repetition(trial.job.candidate, cell, number):
                continue
            for framework in plan.frameworks:
                yield Job(
                    phase="finals",
                    candidate=trial.job.candidate,
                    backend=framework,
                    split=cell.split,
                    seed=cell.seed,
                    place=f"repeat={cell.repeat},fold={cell.fold}",
                    proposal=trial.job.proposal,
                    share=trial.job.share,
                )


def is_repetition(candidate: Candidate, cell: Cell, number: int) -> bool:
    """Return whether a cell would only repeat another one: another seed on the same split."""
    return candidate.is_deterministic and cell.split.kind != "kfold" and number > 0


def run_finals(plan: FinalsPlan, protocol: Protocol, cells: RecordedCells) -> list[Trial]:
    """Run the plan as far as the time goes; return every cell of it that has ended."""
    ended = list[Trial]()
    for job in list_choosing(plan, protocol):
        if not has_time(job, cells):
            return ended
        ended.append(run_cell(job, cells))
    tested = set[str]()
    while True:
        plan, jobs = shrink(plan, protocol, cells, tested)
        if not jobs or not has_time(jobs[0], cells):
            return ended
        ended.append(run_cell(jobs[0], cells))
        tested.add(jobs[0].key)


def shrink(
    plan: FinalsPlan, protocol: Protocol, cells: RecordedCells, tested: Collection[str]
) -> tuple[FinalsPlan, list[Job]]:
    """Return the largest part of the plan whose cells fit into the time, and these cells.

    Args:
        plan: The present plan.
        protocol: Its splits.
        cells: Their costs so far, and the time.
        tested: Keys of the cells that have ended.
    """
    for part in list_plans(plan.finalists, plan.frameworks):
        jobs = [job for job in list_finals(part, protocol) if job.key not in tested]
        if cost_of(jobs, cells.costs) <= time_left(cells):
            break
    return part, jobs


def time_left(cells: RecordedCells) -> float:
    """Return the seconds that are left for cells."""
    return cells.clock.left - spare(cells.clock.budget_seconds)


def has_time(job: Job, cells: RecordedCells) -> bool:
    """Return whether a cell will end in time; one that would be stopped gives nothing."""
    return cost_of([job], cells.costs) <= time_left(cells)


def run_cell(job: Job, cells: RecordedCells) -> Trial:
    """Run a cell, at most until the time is over."""
    return Trial(job, cells.run(job, time_left(cells)))
