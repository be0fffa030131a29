"""The search: candidates are tried cheaply first, and the good ones again with more epochs.

Each round of the successive halving keeps the better half of the candidates that have settings to
search, and gives them the next share of the recipe's epochs: first to the best settings so far,
then to new ones that the sampler proposes. A candidate is stopped if it is clearly behind another
one that had no more epochs. No cell of the search has a test part.
"""

import math
import zlib
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from poc.shared.analysis.verdicts.phrases import FRAMEWORKS
from poc.shared.data.protocol.protocol import SEARCH_SEEDS, Protocol

from .candidates import Candidate
from .jobs import NOT_BEGUN, Job, Outcome, Trial
from .proposals import Proposal, first_proposal, propose
from .recorded_cells import RecordedCells
from .searching.forecasts import forecast
from .searching.reserve import keeps_finalists
from .searching.students import (
    DISTILLED,
    MAX_TEACHERS,
    explain_no_teacher,
    find_teacher,
    list_nets,
    list_students,
)

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the recipe's epochs, a round of the halving each."""
SEARCH_END = 0.45
"""Share of the budget after which no cell of the search begins."""
# Of the time that is left to the search, a cell of unknown speed takes at most this share.
CELL_SHARE = 0.5
MAX_TRIALS = 16
# A first cell that does not fit has half of the epochs, or a quarter.
SMALLER = (1.0, 1 / 2, 1 / 4)
# A candidate is stopped if its accuracy is further behind than this, and than two standard errors.
LEAST_GAP = 0.1
# The search leaves time for so many final cells of its best candidate, however slow the machine is.
# A good choice is worth more than a narrow interval, so that not all folds need to fit.
LEAST_FINALS = 2
SPARE_SECONDS, SPARE_SHARE = 3.0, 0.02
ENDED = object()


@dataclass
class Search:
    """The search of a study, in one framework."""

    candidates: Sequence[Candidate]
    protocol: Protocol
    cells: RecordedCells
    framework: str
    num_val_images: int
    has_students: bool = False
    """The search adds candidates that learn from its best network."""
    trials: list[Trial] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Candidate -> why it was not tried."""
    students: list[Candidate] = field(default_factory=list)
    too_large: Collection[str] = ()
    """Candidates over the limit on size, whose networks no student has either."""
    num_searches: int = 1
    """Searches that have finalists of their own, this one among them."""

    def run(self) -> None:
        """Try candidates until the search's share of the time is used."""
        deque(self.list_steps(), maxlen=0)

    def list_steps(self) -> Iterator[None]:
        """Try candidates, and stop after each attempt, so that another search may take its turn."""
        for candidate in self.candidates:
            self.begin(candidate)
            yield
        alive = [item for item in self.candidates if item.kind and self.best(item)]
        for round_number in range(1, MAX_TRIALS):
            for student in self.add_students():
                self.begin(student)
                yield
                alive += [student] if self.best(student) else []
            alive = self.keep_better_half(alive)
            share = SHARES[min(round_number, len(SHARES) - 1)]
            has_run = False
            for candidate in alive:
                has_run |= self.advance(candidate, share)
                yield
            if not has_run:
                return

    @property
    def seconds(self) -> float:
        """Return the time that its cells have taken."""
        return sum(trial.outcome.seconds for trial in self.trials)

    def advance(self, candidate: Candidate, share: float) -> bool:
        """Give a candidate's best settings a larger share, then propose new ones for that share."""
        best = self.best(candidate)
        if best is None:
            return False
        if best.job.share >= share:
            return self.attempt(candidate, share) is not None
        larger = [share * part for part in SMALLER if share * part > best.job.share]
        found = (self.attempt(candidate, part, best.job.proposal) for part in larger)
        return any(outcome is not None for outcome in found)

    def add_students(self) -> list[Candidate]:
        """Return the students of the best network that can teach, if it has none yet."""
        if not self.has_students:
            return []
        teacher, taught = find_teacher(self.ranked()), {item.teacher for item in self.students}
        if teacher is None or teacher.name in taught or len(taught) >= MAX_TEACHERS:
            if not taught:
                self.skipped[DISTILLED] = explain_no_teacher(self.ranked())
            return []
        self.skipped.pop(DISTILLED, None)
        added = list(list_students(teacher, self.too_large))
        self.students += added
        if not self.students:
            self.skipped[DISTILLED] = "the students are over the limit on size"
        return added

    def begin(self, candidate: Candidate) -> None:
        """Run a candidate's first cell: with fewer epochs if its forecast asks for it."""
        for part in SMALLER:
            if self.attempt(candidate, SHARES[0] * part) or not candidate.kind:
                return

    def attempt(
        self, candidate: Candidate, share: float, proposal: Proposal | None = None
    ) -> Outcome | None:
        """Run one trial if there is time for it; None if not."""
        own = [trial for trial in self.trials if trial.job.candidate == candidate]
        if candidate.kind and proposal is None:
            tried = [trial.tried for trial in own if trial.outcome.is_finished]
            proposal = propose(candidate.kind, tried, zlib.crc32(candidate.name.encode()))
        job = self.make_job(candidate, share if candidate.kind else 1.0, proposal, len(own))
        if reason := self.find_obstacle(job):
            if self.best(candidate) is None:
                self.skipped[candidate.name] = reason
            return None
        outcome = self.cells.run(job, self.limit(candidate))
        self.trials.append(Trial(job, outcome))
        self.skipped.pop(candidate.name, None)
        if self.best(candidate) is None:
            self.skipped[candidate.name] = outcome.error
        return outcome

    def make_job(
        self, candidate: Candidate, share: float, proposal: Proposal | None, number: int
    ) -> Job:
        """Make a cell of the search: on the first split, without its test part."""
        return Job(
            phase="search",
            candidate=candidate,
            backend=self.framework,
            split=self.protocol.cells[0].search_split,
            seed=SEARCH_SEEDS[0],
            place=f"trial={number}",
            proposal=proposal,
            share=share,
            teacher=self.find_cell(candidate.teacher),
        )

    def find_cell(self, name: str | None) -> Job | None:
        """Return the best cell of a candidate, by its name; none if it has none."""
        return next((t.job for t in self.ranked() if t.job.candidate.name == name), None)

    def list_first(self) -> list[Job]:
        """Return the first cell of each candidate."""
        return list(map(self.make_first, self.candidates))

    def list_nets(self) -> list[Job]:
        """Return cells with the networks of the students, without a teacher."""
        return list(map(self.make_first, list_nets())) if self.has_students else []

    def make_first(self, candidate: Candidate) -> Job:
        """Make the first cell of a candidate."""
        proposal = first_proposal(candidate.kind) if candidate.kind else None
        return self.make_job(candidate, SHARES[0], proposal, 0)

    def find_obstacle(self, job: Job) -> str:
        """Return why a trial does not fit, with the least of the finals after it; or no text."""
        clock, costs, first = self.cells.clock, self.cells.costs, self.best(job.candidate) is None
        cost = costs.estimate(job.candidate, job.share, self.framework)
        if first:
            cost = forecast(job, self.cells.ended, self.cells.count_work)
        final, ranked = 0.0, self.ranked()
        left = (clock.left - spare(clock.budget_seconds)) / self.num_searches
        if not first and not keeps_finalists(job, cost or 0.0, ranked, self.protocol, costs, left):
            return NOT_BEGUN
        if ranked:
            best = ranked[0].job
            each = costs.estimate(best.candidate, best.share, self.framework) or 0.0
            final = each * min(len(self.protocol.cells), LEAST_FINALS)
        end = clock.now + (cost or 0.0)
        is_in_search = end <= SEARCH_END * clock.budget_seconds
        is_in_study = end + final <= clock.budget_seconds - spare(clock.budget_seconds)
        is_known = not first or (cost or 0.0) <= self.limit(job.candidate)
        if is_in_search and is_in_study and is_known:
            return ""
        known = f" (a cell takes about {cost:.0f} s)" if cost and first else ""
        return f"{NOT_BEGUN}{known}"

    def limit(self, candidate: Candidate) -> float:
        """Return the seconds after which a cell is stopped; less if its speed is unknown."""
        clock = self.cells.clock
        left = SEARCH_END * clock.budget_seconds - clock.now
        is_known = self.best(candidate) is not None or not self.ranked()
        return left if is_known else CELL_SHARE * left

    def best(self, candidate: Candidate) -> Trial | None:
        """Return a candidate's best trial of its largest share; None if none has finished."""
        own = [
            trial
            for trial in self.trials
            if trial.job.candidate == candidate and trial.outcome.is_finished
        ]
        if not own:
            return None
        return max(own, key=lambda trial: (trial.job.share, trial.outcome.value))

    def ranked(self) -> list[Trial]:
        """Return the best trial of each candidate, the best candidate first."""
        everyone = [*self.candidates, *self.students]
        found = [trial for item in everyone if (trial := self.best(item)) is not None]
        return sorted(found, key=lambda trial: -trial.outcome.value)

    def keep_better_half(self, alive: Sequence[Candidate]) -> list[Candidate]:
        """Return the better half of the candidates, without those that are clearly behind."""
        ranked = self.ranked()
        kept = [trial for trial in ranked if trial.job.candidate in alive]
        kept = kept[: max(2, math.ceil(len(kept) / 2))]
        return [trial.job.candidate for trial in kept if not self.is_behind(trial, ranked)]

    def is_behind(self, trial: Trial, ranked: Sequence[Trial]) -> bool:
        """Return whether a candidate is clearly behind one that had no more epochs than it."""
        rivals = [item for item in ranked if item.job.share <= trial.job.share]
        lead = max(item.outcome.accuracy for item in rivals)
        error = math.sqrt(2 * lead * (1 - lead) / self.num_val_images)
        return lead - trial.outcome.accuracy > max(LEAST_GAP, 2 * error)


@dataclass(frozen=True)
class Searches:
    """The searches of a study, one per framework that searches; all have the same cells."""

    each: Sequence[Search]

    def run(self) -> None:
        """Let the searches take turns: the one whose cells have taken the least time is next."""
        running = [(search, search.list_steps()) for search in self.each]
        while running:
            turn = min(running, key=lambda pair: pair[0].seconds)
            if next(turn[1], ENDED) is ENDED:
                running.remove(turn)

    @property
    def cells(self) -> RecordedCells:
        """Return the cells, which all searches share."""
        return self.each[0].cells

    @property
    def protocol(self) -> Protocol:
        """Return the protocol of the study."""
        return self.each[0].protocol

    @property
    def skipped(self) -> dict[str, str]:
        """Return why a candidate was not tried; with several searches, in which framework."""
        if len(self.each) == 1:
            return self.each[0].skipped
        return {
            f"{name} in {FRAMEWORKS[search.framework]}": reason
            for search in self.each
            for name, reason in search.skipped.items()
        }

    def ranked(self) -> list[Trial]:
        """Return the best trial of each candidate in each framework, the best one first."""
        found = [trial for search in self.each for trial in search.ranked()]
        return sorted(found, key=lambda trial: -trial.outcome.value)

    def list_first(self) -> list[Job]:
        """Return the first cell of each candidate in each framework."""
        return [job for search in self.each for job in search.list_first()]


def spare(budget_seconds: float) -> float:
    """Return the seconds that the decision and the page keep for themselves."""
    return SPARE_SECONDS + SPARE_SHARE * budget_seconds
