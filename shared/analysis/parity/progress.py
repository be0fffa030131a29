"""What is heard of a parity ladder while it is climbed: each rung, and long steps pass by pass."""

import time
from collections.abc import Callable

from poc.shared.engine.console.work_count import Report

from .rungs import Rung

# Passes that take less need no word of their own.
QUIET_SECONDS = 5.0


class LadderProgress:
    """Turns rungs and passes into notes; says at once that the ladder has begun.

    A pass is one backend's run through some steps. `clock` is for tests.
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._rung_began = self._pass_began = clock()
        self.say("climbing the ladder")

    def say(self, text: str) -> None:
        """One note."""
        self._report({"event": "note", "text": f"parity: {text}"})

    def tell_rung(self, rung: Rung) -> None:
        """A rung is known."""
        now = self._clock()
        self.say(f"{rung.name}: {rung.verdict}, {now - self._rung_began:.1f} s")
        self._rung_began = self._pass_began = now

    def tell_pass(self, name: str, done: int, total: int) -> None:
        """Some of the passes that a rung of steps needs are done; an estimate of the others."""
        now = self._clock()
        seconds, self._pass_began = now - self._pass_began, now
        if seconds >= QUIET_SECONDS:
            left = seconds * (total - done)
            self.say(f"{name}: pass {done} of {total}, about {left:.0f} s left")
