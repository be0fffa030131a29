"""How far a piece of long work is, reported as events, and not more often than anybody can read."""

import time
from collections.abc import Callable, Mapping
from typing import Any

Report = Callable[[Mapping[str, Any]], None]
SECONDS_BETWEEN_REPORTS = 0.1


def unheard(event: Mapping[str, Any]) -> None:
    """An event that nobody waits for."""


def noting(report: Report) -> Callable[[str], None]:
    """What turns sentences into events."""
    return lambda text: report({"event": "note", "text": text})


class WorkCount:
    """Reports a text and a count; call it with what is done so far.

    Args:
        report: Called with events `work`.
        text: What is being done.
        total: How much there is; 0: nobody knows.
    """

    def __init__(self, report: Report, text: str, total: int = 0) -> None:
        self._report, self._text, self._total = report, text, total
        self._reported = time.monotonic()
        self._tell(0)

    def __call__(self, done: int) -> None:
        """Take how much is done."""
        now = time.monotonic()
        if now - self._reported > SECONDS_BETWEEN_REPORTS:
            self._reported = now
            self._tell(done)

    def _tell(self, done: int) -> None:
        self._report({"event": "work", "text": self._text, "done": done, "total": self._total})
