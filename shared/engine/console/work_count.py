"""Progress of long work, reported as events no more often than anybody can read."""

import time
from collections.abc import Callable
from typing import Required, TypedDict


class Event(TypedDict, total=False):
    """A report of long work; its key `event` says which other keys it holds.

    `work` (text, done, total), `note` (text, about), `step` (step, num_steps, images_per_second),
    `resolved` (run), `epoch` (backend, num_epochs, and the epoch's line of `metrics.jsonl`).
    """

    event: Required[str]
    text: str
    done: int
    total: int
    about: str
    step: int
    num_steps: int
    images_per_second: float
    kept_images_per_second: float
    run: dict[str, object]
    backend: str
    num_epochs: int
    epoch: int
    epoch_seconds: float


Report = Callable[[Event], None]
# Ten reports per second are more than anybody can read.
SECONDS_BETWEEN_REPORTS = 0.1


def unheard(event: Event) -> None:
    """Drop an event that nobody waits for."""


def noting(report: Report) -> Callable[[str], None]:
    """Return a function that reports a sentence as an event `note`."""
    return lambda text: report({"event": "note", "text": text})


class WorkCount:
    """Reporter of a text and a count; call it with the amount done so far.

    Args:
        report: Called with events `work`.
        text: The work that is being done.
        total: How much there is to do; 0: unknown.
    """

    def __init__(self, report: Report, text: str, total: int = 0) -> None:
        self._report, self._text, self._total = report, text, total
        self._reported = time.monotonic()
        self._tell(0)

    def __call__(self, done: int) -> None:
        """Take the amount done, and report it unless a report was just made."""
        now = time.monotonic()
        if now - self._reported > SECONDS_BETWEEN_REPORTS:
            self._reported = now
            self._tell(done)

    def _tell(self, done: int) -> None:
        self._report({"event": "work", "text": self._text, "done": done, "total": self._total})
