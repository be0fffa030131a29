"""Clock of an epoch: its training seconds, and when the next progress report is due."""

import time

from poc.shared.engine.console.work_count import SECONDS_BETWEEN_REPORTS


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
