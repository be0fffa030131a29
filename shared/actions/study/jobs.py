"""Cells of a study: the settings of each one, and its outcome.

A cell is an ordinary run, in a folder of its own below `search/` or `finals/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from poc.shared.spec.reading.cell_names import digest, safe, shorten_name, write_value
from poc.shared.spec.splits import SplitSpec

from .candidates import Candidate
from .proposals import Proposal, Tried

Phase = Literal["search", "finals"]
# A loss decides between equal accuracies, and changes no order of unequal ones.
LOSS_SHARE, LARGEST_LOSS = 1e-4, 10.0
# The first words of why a cell has no result: it did not begin, or its limit has ended it.
NOT_BEGUN, STOPPED = "no time was left for it", "stopped after"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One cell.

    Attributes:
        phase: Phase of the study, and folder of the cell.
        candidate: The candidate that trains.
        backend: `tf` or `torch`.
        split: Its parts; in the search without the test part.
        seed: Its seed.
        place: Its mark among the candidate's cells: `trial=2`, or `repeat=0,fold=3`.
        proposal: Settings of the search; None for a head that is fitted in one pass.
        share: Share of the recipe's epochs.
        teacher: The cell whose network it learns from, if any.
    """

    phase: Phase
    candidate: Candidate
    backend: str
    split: SplitSpec
    seed: int
    place: str
    proposal: Proposal | None = None
    share: float = 1.0
    teacher: "Job | None" = None

    @property
    def name(self) -> str:
        """Return the name of its folder below that of the phase.

        Settings of the search are part of it: with a longer budget another choice is made, and must
        not meet the networks of the former one.
        """
        found = f"{self.candidate.name},{self.backend},{self.place},seed={self.seed}"
        if self.proposal is not None:
            found += f",settings={self.settings_digest}"
        return shorten_name(safe(found))

    @property
    def settings_digest(self) -> str:
        """Return a digest of what the cell trains with."""
        teacher = self.teacher.key if self.teacher else None
        # A cell of the learning curve has its epochs among the candidate's settings.
        settings = list(self.candidate.settings)
        return digest(write_value([settings, self.proposal, self.share, teacher]))

    @property
    def key(self) -> str:
        """Return its path below the study's folder."""
        return f"{self.phase}/{self.name}"


class Outcome(NamedTuple):
    """The end of a cell.

    Attributes:
        status: `finished`, `failed`, or `stopped` by the time limit.
        seconds: Seconds of the complete cell, with the start of its process.
        accuracy: Share of right validation answers.
        loss: Validation loss.
        error: Reason of a failure.
        start_seconds: Seconds of it in which the framework was imported, for this and later cells.
    """

    status: str
    seconds: float
    accuracy: float = 0.0
    loss: float = LARGEST_LOSS
    error: str = ""
    start_seconds: float = 0.0

    @property
    def warm(self) -> "Outcome":
        """Return the outcome as if the framework had been imported before, as for later cells."""
        return self._replace(seconds=self.seconds - self.start_seconds, start_seconds=0.0)

    @property
    def is_finished(self) -> bool:
        """Return whether there is a trained network."""
        return self.status == "finished"

    @property
    def value(self) -> float:
        """Return the value of a trial, the higher the better."""
        return self.accuracy - LOSS_SHARE * min(self.loss, LARGEST_LOSS)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Outcome":
        """Read the outcome in an entry of the ledger."""
        loss = entry["loss"]
        return cls(
            entry["status"],
            entry["seconds"],
            entry["accuracy"],
            LARGEST_LOSS if loss is None else loss,
            entry["error"],
            entry.get("start_seconds", 0.0),
        )


class Trial(NamedTuple):
    """A cell of the search that has ended."""

    job: Job
    outcome: Outcome

    @property
    def tried(self) -> Tried:
        """Return the trial as the sampler reads it."""
        return Tried(self.job.proposal or {}, self.outcome.value)


class Runner(Protocol):
    """A way to run cells: worker processes, or a simulation in a test."""

    def run(self, job: Job, limit_seconds: float) -> Outcome:
        """Run a cell, or read it if its folder has a finished run."""

    def count_work(self, job: Job) -> float:
        """Count the multiply-adds of a cell, by which its time is forecast."""
