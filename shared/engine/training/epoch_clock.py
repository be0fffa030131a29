"""How long an epoch trains, and when to tell."""

import time

from poc.shared.engine.console.work_count import SECONDS_BETWEEN_REPORTS


class EpochClock:
    """Starts when it is made.

    Args:
        earlier: Seconds that earlier processes have trained in this epoch.

    Attributes:
        now: When a step was last counted, or the epoch ended; `time.monotonic`.
    """

    def __init__(self, earlier: float) -> None:
        self.now = self._started = self._told = time.monotonic()
        self._earlier, self._examples = earlier, 0

    def count(self, examples: int) -> bool:
        """Count a step; whether it is time to tell."""
        self.now = time.monotonic()
        self._examples += examples
        is_due = self.now - self._told > SECONDS_BETWEEN_REPORTS
        if is_due:
            self._told = self.now
        return is_due

    def stop(self) -> float:
        """Seconds of the whole epoch."""
        self.now = time.monotonic()
        return self.seconds

    @property
    def seconds(self) -> float:
        """Of training in this epoch, those of earlier processes included."""
        return self._earlier + self.now - self._started

    @property
    def images_per_second(self) -> float:
        """Of this process."""
        return self._examples / (self.now - self._started)
