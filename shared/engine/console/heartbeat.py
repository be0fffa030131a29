"""Lines about long work, after some silence, for outputs on which no bar can be drawn."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from .output import OutputFailed

# Silence before the first line about some work. Each further line waits twice as long, so that
# a log of hours stays short.
FIRST_SECONDS, LONGEST_SECONDS = 2.0, 60.0
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_A_MINUTE, SECONDS_AN_HOUR = 60, 3600


class Heartbeat:
    """Reporter of long work: a context manager that looks at the clock in a thread of its own.

    Args:
        say: Prints one line.
        patience: Factor on the usual silence before the first line.
    """

    def __init__(self, say: Callable[[str], None], patience: float = 1.0) -> None:
        self._first_seconds = patience * FIRST_SECONDS
        self._say, self._lock, self._ended = say, threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._text, self._done, self._total = "", 0, 0
        # Patience by text, so that work that comes again in every epoch is not reported every time.
        self._patience: dict[str, float] = {}
        self._begun = self._spoken = 0.0
        self._done_before = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def note(self, text: str, done: int = 0, total: int = 0, now: float | None = None) -> None:
        """Take the work that is being done and its count; total 0: the total is unknown.

        Args:
            text: The work, without its count.
            done: How much of it is done.
            total: How much there is to do; 0: unknown.
            now: Time of `time.monotonic`; none: this moment.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            # A lower count is the same work begun again, such as the next epoch's evaluation.
            if text != self._text or done < self._done:
                self._text, self._begun, self._spoken = text, now, now
                self._done_before = done
            self._done, self._total = done, total

    def spoke(self) -> None:
        """Start the silence again, because something else was printed just now."""
        with self._lock:
            self._spoken = time.monotonic()

    def look(self, now: float) -> str:
        """Return the line that is due, or "" if none is."""
        with self._lock:
            is_done = 0 < self._total <= self._done
            patience = self._patience.get(self._text, self._first_seconds)
            if not self._text or is_done or now - self._spoken < patience:
                return ""
            self._spoken = now
            self._patience[self._text] = min(2 * patience, LONGEST_SECONDS)
            counted = f"{self._text}: {self._done:,} of {self._total:,}"
            counted = counted if self._total else self._text
            new, seconds = self._done - self._done_before, now - self._begun
            if not self._total or not new:
                return f"{counted}, for {write_seconds(seconds)} so far"
            left = seconds * (self._total - self._done) / new
            return f"{counted}, about {write_seconds(left)} left"

    def _watch(self) -> None:
        """Look at the clock until the end; the main thread reports an output that fails."""
        with suppress(OutputFailed):
            while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
                if line := self.look(time.monotonic()):
                    self._say(line)


def write_seconds(seconds: float) -> str:
    """Write a span as people say it: `8 s`, `3 min`, `1.5 h`."""
    if seconds < 2 * SECONDS_A_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * SECONDS_AN_HOUR:
        return f"{seconds / SECONDS_A_MINUTE:.0f} min"
    return f"{seconds / SECONDS_AN_HOUR:.1f} h"
