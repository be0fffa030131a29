"""Signals: the first one asks the loop to stop after its step, the second one ends it at once.

Handlers only take a note while a run trains, since an exception in the middle of a step would leave
half an update.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol
from weakref import WeakSet

from poc.shared.errors import Interrupted, Terminated

SIGTERM = int(signal.SIGTERM)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object]


class Interruptible(Protocol):
    """A worker's handle, as far as signals go."""

    def interrupt(self, number: int) -> None:
        """Pass a signal on."""


# Workers of this process, and the signals that it has had.
LIVE: WeakSet[Interruptible] = WeakSet()
RECEIVED: list[int] = []
# Runs of this process that take note of signals.
LISTENING: "list[Interruption]" = []


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """Raised between two steps, where everything can be saved."""


class Interruption:
    """What has been asked of a run since it began.

    Attributes:
        number: Of the signal that asked it to stop; none: nobody did.
        has_unsaved: Whether something was done that no checkpoint holds.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.has_unsaved = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of signals; outside the main thread Python has no handlers."""
        LISTENING.append(self)
        try:
            with handling(self._take):
                yield
        finally:
            LISTENING.remove(self)

    def request(self, number: int) -> None:
        """Ask the run to stop, as a signal of this number does."""
        self.number = number

    def check(self) -> None:
        """Call where everything can be saved: after a step, between two evaluations.

        Raises:
            StopRequested: A stop was asked for.
        """
        self.has_unsaved = True
        if self.number is not None:
            raise StopRequested

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise_signal(number, frame)
        self.number = number


def has_unsaved_steps() -> bool:
    """Whether a run of this process has done something that no checkpoint holds."""
    return any(run.has_unsaved for run in LISTENING)


@contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Install a handler for both signals, and put the former ones back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in former.items():
            signal.signal(number, previous)


def raise_signal(number: int, frame: FrameType | None = None) -> None:
    """The handler outside of training: an exception, with the exit code of the signal.

    Raises:
        Interrupted, Terminated: By the signal.
    """
    raise interruption_error(number, f"stopped by {signal.Signals(number).name}")


def interruption_error(number: int, message: str) -> Interrupted:
    """The exception that stands for a signal."""
    return Terminated(message) if number == signal.SIGTERM else Interrupted(message)


def forward_signal(number: int, frame: FrameType | None = None) -> None:
    """The handler of a process that has workers: they stop and answer, and this one goes on.

    Raises:
        Interrupted, Terminated: There is no worker.
    """
    RECEIVED.append(number)
    workers = list(LIVE)
    if not workers:
        raise_signal(number, frame)
    for worker in workers:
        worker.interrupt(number)


@contextmanager
def forwarding() -> Iterator[None]:
    """Hand signals to the workers of this process, as long as a command runs."""
    RECEIVED.clear()
    with handling(forward_signal):
        yield


def refuse_after_signal() -> None:
    """Start nothing new once a signal has come.

    Raises:
        Interrupted, Terminated: It has.
    """
    if RECEIVED:
        raise_signal(RECEIVED[-1])
