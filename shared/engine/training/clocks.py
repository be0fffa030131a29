"""Clocks of a training: that of the run, and that of an epoch.

That of the run counts the share of the machine that other programs used meanwhile; that of an epoch
also knows when the next progress report is due.
"""

import time

from poc.shared.engine.console.work_count import SECONDS_BETWEEN_REPORTS
from poc.shared.engine.machine.load import LoadMeter


class RunClock:
    """Stopwatch that starts when it is made; `seconds` is the loop's record, in each checkpoint."""

    def __init__(self) -> None:
        self._started, self._load = time.perf_counter(), LoadMeter()

    @property
    def seconds_here(self) -> float:
        """Return the seconds since the clock was made or last settled."""
        return time.perf_counter() - self._started

    def total_seconds(self, seconds: dict[str, float]) -> float:
        """Return the seconds of the run so far, those of earlier processes included."""
        return seconds.get("before", 0.0) + self.seconds_here

    def settle(self, seconds: dict[str, float]) -> None:
        """Move the seconds and the processor time that were counted here into the record."""
        self.settle_load(seconds)
        seconds["before"] = self.total_seconds(seconds)
        # Started again, so that no second is counted both here and in the record.
        self._started = time.perf_counter()

    def settle_load(self, seconds: dict[str, float]) -> None:
        """Move the processor time alone into the record."""
        self._load.add_to(seconds)


class EpochClock:
    """Stopwatch of one epoch's training, which starts when it is made.

    Args:
        earlier: Seconds of training in this epoch by earlier processes of a resumed run.

    Attributes:
        now: Time of `time.monotonic` at the last counted step, or at the end of the epoch.
    """

    def __init__(self, earlier: float) -> None:
        self.now = self._started = self._told = time.monotonic()
        self._earlier, self._examples = earlier, 0

    def count(self, examples: int) -> bool:
        """Count a step of some examples; return whether a progress report is due."""
        self.now = time.monotonic()
        self._examples += examples
        is_due = self.now - self._told > SECONDS_BETWEEN_REPORTS
        if is_due:
            self._told = self.now
        return is_due

    def stop(self) -> float:
        """Stop the clock and return the seconds of the entire epoch."""
        self.now = time.monotonic()
        return self.seconds

    @property
    def seconds(self) -> float:
        """Return the seconds of training in this epoch, those of earlier processes included."""
        return self._earlier + self.now - self._started

    @property
    def images_per_second(self) -> float:
        """Return the rate of this process alone."""
        # `_earlier` is left out: the examples of an earlier process are not counted here either.
        return self._examples / (self.now - self._started)
