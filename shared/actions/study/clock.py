"""The time that a study has used, over all calls that worked on it.

The clock ticks when a cell has ended, and its value is stored with the cell. Decisions read the
last tick alone, so that a study which was killed, and reads its ledger, decides the same again.
The time of a cell that was killed in flight is lost and not counted, nor is the start of another
call: that of its process, and a second import of a framework.
"""

import time
from collections.abc import Callable

# Shares of the budget: cells end before the first, and the page is written before the second.
CELLS_END, STUDY_END = 1.0, 1.1
# Of this, so much is kept for the files of the finalists: writing them, and their latency.
FILES_SHARE, MOST_FILES_SECONDS = 0.06, 120.0


class Clock:
    """Counts used seconds; `now` is the last tick.

    Args:
        budget_seconds: Budget of the study.
        began: Value of `read` when the command began.
        read: Gives seconds that only grow.
    """

    def __init__(
        self,
        budget_seconds: float,
        began: float | None = None,
        read: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget_seconds, self.now = budget_seconds, 0.0
        self._read = read
        self._before, self._began = 0.0, read() if began is None else began

    @property
    def used(self) -> float:
        """Return the seconds used at this moment."""
        return self._before + self._read() - self._began

    @property
    def left(self) -> float:
        """Return the seconds between the last tick and the end of the last cell of the finals."""
        return self.all_left - min(FILES_SHARE * self.budget_seconds, MOST_FILES_SECONDS)

    @property
    def all_left(self) -> float:
        """Return the seconds between the last tick and the end of all work."""
        return CELLS_END * self.budget_seconds - self.now

    def tick(self) -> float:
        """Set `now` to this moment, and return it."""
        self.now = self.used
        return self.now

    def replay(self, now: float) -> None:
        """Set `now` to a recorded tick."""
        self.now = now

    def start(self) -> None:
        """Begin to count after the recorded ticks; without one, from the start of this call."""
        if self.now > 0.0:
            self._before, self._began = self.now, self._read()

    def leave_out(self, seconds: float) -> None:
        """Do not count so many seconds that have passed since `start`."""
        self._began += seconds
