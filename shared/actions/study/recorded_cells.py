"""Cells that are run once: what the ledger has is read from it, the rest is run and recorded."""

from collections.abc import Callable, Mapping

from .clock import Clock
from .costs import Costs
from .jobs import Job, Outcome, Runner, Trial
from .ledger import Entry, Ledger


class RecordedCells:
    """Runs cells in turn.

    Args:
        ledger: Cells that ended in earlier calls.
        clock: Ticks when a cell ends.
        runner: Runs a cell.
        tell: Called with each cell that has ended, and true if it was read from the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        runner: Runner,
        tell: Callable[[Trial, bool], None] = lambda trial, is_recorded: None,
    ) -> None:
        self._ledger, self.clock, self._runner, self._tell = ledger, clock, runner, tell
        self._recorded = {entry["cell"]: entry for entry in ledger.entries}
        self._is_live = False
        self.ended: list[Trial] = []
        self.costs = Costs()
        self._work: dict[tuple[str, float], float] = {}
        # Frameworks whose import has been counted.
        self._imported: set[str] = set()

    def run(self, job: Job, limit_seconds: float) -> Outcome:
        """Return the outcome of a cell.

        Args:
            job: The cell.
            limit_seconds: Seconds after which it is stopped; at least one.
        """
        entry = self._recorded.get(job.key)
        if entry is not None and not was_stopped_earlier(entry, limit_seconds):
            outcome = Outcome.read(entry)
            self._replay(entry)
        else:
            entry = None
            self._begin()
            outcome = self._runner.run(job, max(limit_seconds, 1.0))
            if job.backend in self._imported:
                # An earlier call has paid for the import, and was killed.
                self.clock.leave_out(outcome.start_seconds)
                outcome = outcome.warm
            self._append(describe(job, outcome, limit_seconds))
        trial = Trial(job, outcome)
        self.ended.append(trial)
        if outcome.start_seconds:
            self._imported.add(job.backend)
        # The import of a framework is paid once, so that it is no cost of the cells to come.
        self.costs.add(Trial(job, outcome.warm))
        self._tell(trial, entry is not None)
        return outcome

    def count_work(self, job: Job) -> float:
        """Count the multiply-adds of a cell, once."""
        key = (job.key, job.share)
        if key not in self._work:
            self._work[key] = self._runner.count_work(job)
        return self._work[key]

    def record(self, key: str, work: Callable[[], Entry]) -> Entry:
        """Return the entry of other work than a cell, which is done once too.

        Args:
            key: Its name in the ledger, unlike that of any cell.
            work: Does it, and gives what to record.
        """
        entry = self._recorded.get(key)
        if entry is not None:
            self._replay(entry)
            return entry
        self._begin()
        found = work()
        return self._append({"cell": key, **found})

    def _replay(self, entry: Entry) -> None:
        """Set the clock to the time at which recorded work ended.

        After new work, which a longer budget brings, recorded work takes no time. It is recorded
        once more, so that a third call sees the same clock.
        """
        if self._is_live:
            self._append(entry)
        else:
            self.clock.replay(entry["used_seconds"])

    def _append(self, entry: Mapping[str, object]) -> Entry:
        """Append an entry with the time that is used now, and the budget of this call."""
        times = {"used_seconds": self.clock.tick(), "budget_seconds": self.clock.budget_seconds}
        self._ledger.append({**entry, **times})
        return self._ledger.entries[-1]

    def _begin(self) -> None:
        """Let the clock count from the first work that the ledger does not have."""
        if not self._is_live:
            self._is_live = True
            self.clock.start()


def was_stopped_earlier(entry: Entry, limit_seconds: float) -> bool:
    """Return whether a recorded cell was stopped, and has more time now: it is tried again."""
    return bool(entry["status"] == "stopped" and entry["limit_seconds"] < limit_seconds)


def describe(job: Job, outcome: Outcome, limit_seconds: float) -> dict[str, object]:
    """Return the entry of a cell in the ledger."""
    return {
        "cell": job.key,
        "phase": job.phase,
        "candidate": job.candidate.name,
        "backend": job.backend,
        "seed": job.seed,
        "proposal": job.proposal,
        "share": job.share,
        **outcome._asdict(),
        "limit_seconds": limit_seconds,
    }
