"""How far a piece of long work is, reported as events, and not more often than anybody can read."""

import time
from collections.abc import Callable
from typing import Required, TypedDict


class Event(TypedDict, total=False):
    """What long work reports; `event` says what else it holds.

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
SECONDS_BETWEEN_REPORTS = 0.1


def unheard(event: Event) -> None:
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
