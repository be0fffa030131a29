"""The finals: the best candidates, trained again on every cell of the protocol, tested once each.

A row is a finalist in a framework. Where one framework searches, the others confirm its finalists;
where each searches, it tests its own. On a holdout, further networks of the search come first:
three of each row choose. Cells run split by split. Where they show that the plan is too large for
the time that is left, it shrinks, so that the rows that remain are tested on all splits. Where they
show that a larger plan fits after all, it grows again.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from poc.shared.data.protocol.protocol import SEARCH_SEEDS, Cell, Protocol

from .candidates import Candidate
from .clock import Clock
from .costs import MARGIN, Costs
from .jobs import Job, Trial
from .recorded_cells import RecordedCells
from .search import spare
from .searching.students import put_teachers_first, with_teacher

MAX_FINALISTS = 5
# Equal epochs for all finalists are worth more than further ones.
ENOUGH_FINALISTS = 3


class Row(NamedTuple):
    """A finalist, by its best trial, in a framework that tests it."""

    trial: Trial
    framework: str


@dataclass(frozen=True, kw_only=True)
class FinalsPlan:
    """The rows of the finals, in order, and the plans that may take its place.

    Attributes:
        rows: Finalists and frameworks.
        choices: All plans in the order of preference; this one is among them.
    """

    rows: tuple[Row, ...]
    choices: tuple["FinalsPlan", ...] = ()

    @property
    def finalists(self) -> tuple[Trial, ...]:
        """Return the finalists, each once."""
        return tuple({row.trial.job.key: row.trial for row in self.rows}.values())

    @property
    def frameworks(self) -> tuple[str, ...]:
        """Return the frameworks, each once."""
        return tuple(dict.fromkeys(row.framework for row in self.rows))


def plan_finals(
    ranked: Sequence[Trial],
    frameworks: Sequence[str],
    protocol: Protocol,
    costs: Costs,
    clock: Clock,
) -> FinalsPlan:
    """Choose the largest plan that fits into the time that is left.

    Two finalists in both frameworks come before more in one, and one finalist in one framework is
    the least: it runs as far as the time goes. With folds, all finalists get as many epochs as the
    one with the most, if in each framework three of them, or as many as without this, still fit.
    """
    left = clock.left - spare(clock.budget_seconds)
    found = choose_largest(list_plans(ranked, frameworks), protocol, costs, left)
    if protocol.cells[0].split.kind != "kfold":
        # The networks that choose on a holdout are those of the search, with its epochs.
        return found
    plans = list_plans(with_equal_epochs(found, ranked), frameworks)
    equal = choose_largest(plans, protocol, costs, left)
    least = Counter(row.framework for row in found.rows)
    most = Counter(row.framework for row in equal.rows)
    is_enough = all(most[name] >= min(ENOUGH_FINALISTS, least[name]) for name in least)
    return equal if is_enough else found


def choose_largest(
    plans: Sequence[FinalsPlan], protocol: Protocol, costs: Costs, left: float
) -> FinalsPlan:
    """Return the first plan that fits into the seconds that are left, or the last one."""
    for plan in plans:
        if MARGIN * cost_of(list_jobs(plan, protocol), costs) <= left:
            break
    return replace(plan, choices=tuple(plans))


def with_equal_epochs(plan: FinalsPlan, ranked: Sequence[Trial]) -> list[Trial]:
    """Return the trials, each with the most epochs that one of the plan's finalists had.

    The search stops candidates early, so that it compares networks of unlike age. A fitted head
    has no epochs.
    """
    shares = [trial.job.share for trial in plan.finalists if trial.job.candidate.kind]
    most = max(shares, default=0.0)
    return [
        Trial(replace(trial.job, share=most), trial.outcome)
        if trial.job.candidate.kind and trial.job.share < most
        else trial
        for trial in ranked
    ]


def list_plans(ranked: Sequence[Trial], frameworks: Sequence[str]) -> list[FinalsPlan]:
    """Return the plans in the order of preference; one without rows if there are no finalists.

    Args:
        ranked: The best trial of each candidate, in each framework that has searched.
        frameworks: The frameworks that test.
    """
    own: dict[str, list[Trial]] = {}
    for trial in ranked:
        own.setdefault(trial.job.backend, []).append(trial)
    own = {framework: put_teachers_first(found) for framework, found in own.items()}
    most = max(map(len, own.values()), default=0)
    sizes = list_sizes(most, len(frameworks), is_equal=len(own) > 1)
    plans = [FinalsPlan(rows=tuple(list_rows(own, frameworks, counts))) for counts in sizes]
    return plans or [FinalsPlan(rows=())]


def list_rows(
    own: Mapping[str, Sequence[Trial]], frameworks: Sequence[str], counts: Sequence[int]
) -> Iterator[Row]:
    """Yield the rows of so many finalists, the best first.

    Args:
        own: Framework that has searched -> its trials, the best first; the framework of the best
            of all is the first.
        frameworks: The frameworks that test, the one that has searched first.
        counts: Number of finalists in each: in their order, or in that of `own` if several have
            searched.
    """
    (best, *_), has_one = own.values(), len(own) == 1
    tested = [(name, best) for name in frameworks] if has_one else list(own.items())
    for place in range(max(counts)):
        for (name, trials), count in zip(tested, counts, strict=True):
            yield from (Row(trial, name) for trial in trials[place : min(place + 1, count)])


def list_sizes(
    num_ranked: int, num_frameworks: int, *, is_equal: bool = False
) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of finalists in each framework, in the order of preference.

    As long as each framework has two finalists, another one in the first framework comes before
    those that the others confirm. Then the others confirm the first one or none. Plans with one
    finalist come last.

    Args:
        num_ranked: Candidates that have a result.
        num_frameworks: Frameworks that test.
        is_equal: All frameworks have as many: each has searched, and tests its own.
    """
    most, others = min(num_ranked, MAX_FINALISTS), num_frameworks - 1
    for count in range(most, 1, -1):
        for confirmed in range(count, count - 1 if is_equal or not others else 1, -1):
            yield (count, *[confirmed] * others)
    # A third finalist in one framework comes before the best one in another.
    for counts in (range(most, 2, -1), range(min(most, 2), 1, -1)) if others else ():
        for confirmed in (0,) if is_equal else (1, 0):
            yield from ((count, *[confirmed] * others) for count in counts)
    for confirmed in (1, 0) if most else ():
        yield (1, *[confirmed] * others)


def cost_of(jobs: Iterable[Job], costs: Costs) -> float:
    """Estimate the seconds of some cells."""
    return sum(
        costs.estimate(job.candidate, job.share, job.backend, job.phase) or 0.0 for job in jobs
    )


def list_jobs(plan: FinalsPlan, protocol: Protocol) -> list[Job]:
    """Return all cells of a plan."""
    return [*list_choosing(plan, protocol), *list_finals(plan, protocol)]


def list_choosing(plan: FinalsPlan, protocol: Protocol) -> Iterator[Job]:
    """Yield the further networks of the search, between which a holdout chooses."""
    if protocol.cells[0].split.kind == "kfold":
        return
    for seed in SEARCH_SEEDS[1:]:
        for trial in plan.finalists:
            if not trial.job.candidate.is_deterministic:
                yield replace(trial.job, seed=seed, place="again")


def list_finals(plan: FinalsPlan, protocol: Protocol) -> Iterator[Job]:
    """Yield the cells that test, split by split; a teacher's before those of its student."""
    made: dict[tuple[str, str], Job] = {}
    for number, cell in enumerate(protocol.cells):
        for trial, framework in plan.rows:
            if is_repetition(trial.job.candidate, cell, number):
                continue
            job = replace(
                trial.job,
                phase="finals",
                backend=framework,
                split=cell.split,
                seed=cell.seed,
                place=f"repeat={cell.repeat},fold={cell.fold}",
            )
            made[job.candidate.name, framework] = job = with_teacher(job, made)
            yield job


def is_repetition(candidate: Candidate, cell: Cell, number: int) -> bool:
    """Return whether a cell would only repeat another one: another seed on the same split."""
    return candidate.is_deterministic and cell.split.kind != "kfold" and number > 0


def run_finals(plan: FinalsPlan, protocol: Protocol, cells: RecordedCells) -> list[Trial]:
    """Run the plan as far as the time goes; return every cell of it that has ended."""
    choices, ended = plan.choices or (plan,), list[Trial]()
    place = next(place for place, choice in enumerate(choices) if choice.rows == plan.rows)
    done = set[str]()
    while True:
        place, jobs = choose_plan(choices, place, protocol, cells, done)
        if not jobs or not has_time(jobs[0], cells):
            return ended
        ended.append(run_cell(jobs[0], cells))
        done.add(jobs[0].key)


def choose_plan(
    choices: Sequence[FinalsPlan],
    present: int,
    protocol: Protocol,
    cells: RecordedCells,
    done: Collection[str],
) -> tuple[int, list[Job]]:
    """Return the place of the largest plan that fits into the time, and its cells to come.

    A plan that is larger than the present one must leave a margin, as at the start, so that the
    plan does not change with every cell.

    Args:
        choices: All plans in the order of preference.
        present: Place of the present plan.
        protocol: Its splits.
        cells: Their costs so far, and the time.
        done: Keys of the cells that have ended.
    """
    for place, plan in enumerate(choices):
        jobs = [job for job in list_jobs(plan, protocol) if job.key not in done]
        margin = MARGIN if place < present else 1.0
        if margin * cost_of(jobs, cells.costs) <= time_left(cells):
            break
    return place, jobs


def time_left(cells: RecordedCells) -> float:
    """Return the seconds that are left for cells."""
    return cells.clock.left - spare(cells.clock.budget_seconds)


def has_time(job: Job, cells: RecordedCells) -> bool:
    """Return whether a cell may end in time; one that will be stopped gives nothing.

    It is the last resort: where the mean does not fit, the quickest cell of its row decides, since
    one slow cell says little, and the time would be left over.
    """
    quickest = [
        trial.outcome.warm.seconds
        for trial in cells.ended
        if trial.outcome.is_finished
        and (trial.job.candidate, trial.job.backend, trial.job.share)
        == (job.candidate, job.backend, job.share)
    ]
    mean = cost_of([job], cells.costs)
    return min([mean, *quickest]) <= time_left(cells)


def run_cell(job: Job, cells: RecordedCells) -> Trial:
    """Run a cell, at most until the time is over."""
    return Trial(job, cells.run(job, time_left(cells)))
