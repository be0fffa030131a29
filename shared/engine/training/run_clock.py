"""How long a run takes, and how much of the machine other programs had meanwhile."""

import time

from poc.shared.engine.machine.load import LoadMeter


class RunClock:
    """Starts when it is made; `seconds` are the loop's own record, which a checkpoint keeps."""

    def __init__(self) -> None:
        self._started, self._load = time.perf_counter(), LoadMeter()

    @property
    def seconds_here(self) -> float:
        """Seconds since the clock was made or last settled."""
        return time.perf_counter() - self._started

    def total_seconds(self, seconds: dict[str, float]) -> float:
        """Seconds of the run so far, those of earlier processes included."""
        return seconds.get("before", 0.0) + self.seconds_here

    def settle(self, seconds: dict[str, float]) -> None:
        """Move all that was counted here into the record."""
        self.settle_load(seconds)
        seconds["before"] = self.total_seconds(seconds)
        self._started = time.perf_counter()

    def settle_load(self, seconds: dict[str, float]) -> None:
        """Move the processor time alone into the record."""
        self._load.add_to(seconds)
