"""The finals: the best candidates, trained again on every cell of the protocol, tested once each.

On a holdout, further networks of the search come first: three of each finalist choose. Cells run
split by split, so that finalists that end early have the same test images.
"""

from collections.abc import Iterator, Sequence
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
    plans = [
        FinalsPlan(finalists=tuple(ranked[:count]), frameworks=tuple(frameworks[:number]))
        for count, number in list_sizes(len(ranked), len(frameworks))
    ]
    for plan in plans:
        if MARGIN * cost_of(plan, protocol, costs) <= left:
            return plan
    return plans[-1] if plans else FinalsPlan(finalists=(), frameworks=tuple(frameworks))


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


def cost_of(plan: FinalsPlan, protocol: Protocol, costs: Costs) -> float:
    """Estimate the seconds of all cells of a plan."""
    jobs = [*list_choosing(plan, protocol), *list_finals(plan, protocol)]
    return sum(costs.estimate(job.candidate, job.share, job.backend) or 0.0 for job in jobs)


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
    ended = []
    for job in (*list_choosing(plan, protocol), *list_finals(plan, protocol)):
        left = cells.clock.left - spare(cells.clock.budget_seconds)
        cost = cells.costs.estimate(job.candidate, job.share, job.backend) or 0.0
        # A cell that would be stopped at the end gives nothing.
        if cost > left:
            break
        ended.append(Trial(job, cells.run(job, left)))
    return ended
