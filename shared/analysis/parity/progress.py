"""Progress notes of a parity ladder: each rung, and long steps pass by pass."""

import time
from collections.abc import Callable

from poc.shared.engine.console.work_count import Report

from .rungs import Rung

# Passes that take less time get no note.
QUIET_SECONDS = 5.0


class LadderProgress:
    """Turns rungs and passes into notes; the first note says that the ladder has begun.

    A pass is one backend's run through some steps.

    Args:
        report: Receives the notes as events.
        clock: Returns seconds; tests pass their own.
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._rung_began = self._pass_began = clock()
        self.say("climbing the ladder")

    def say(self, text: str) -> None:
        """Report one note."""
        self._report({"event": "note", "text": f"parity: {text}"})

    def tell_rung(self, rung: Rung) -> None:
        """Report a rung, its verdict and its seconds."""
        now = self._clock()
        self.say(f"{rung.name}: {rung.verdict}, {now - self._rung_began:.1f} s")
        self._rung_began = self._pass_began = now

    def tell_pass(self, name: str, done: int, total: int) -> None:
        """Report the passes of a rung that are done, and estimate the seconds of the others."""
        now = self._clock()
        seconds, self._pass_began = now - self._pass_began, now
        if seconds >= QUIET_SECONDS:
            left = seconds * (total - done)
            self.say(f"{name}: pass {done} of {total}, about {left:.0f} s left")
