"""Clock of a run, with the share of the machine that other programs used meanwhile."""

import time

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
