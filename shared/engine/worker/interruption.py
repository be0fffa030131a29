"""Signals: the first one asks the loop to stop after its step, the second one ends it at once.

While a run trains, a handler only records the signal: an exception in the middle of a step would
leave half an update.
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
# First words about a stop after a step, of which the other ranks know.
AFTER_STEP = "stopped after "
Handler = Callable[[int, FrameType | None], object]


class Interruptible(Protocol):
    """The part of a worker's handle that signals need."""

    def interrupt(self, number: int) -> None:
        """Pass a signal on to the worker's process."""


# Workers of this process, and the signals that it has received. Global, since a handler of signals
# is global too. Weak, so that a worker that nobody closed does not stay alive here.
LIVE: WeakSet[Interruptible] = WeakSet()
RECEIVED: list[int] = []
# Runs of this process that record signals.
LISTENING: "list[Interruption]" = []


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """A request to stop, raised between two steps, where everything can be saved."""


class Interruption:
    """The signals that a run has received, and its unsaved work.

    Attributes:
        number: Number of the signal that asked it to stop; None if there was none.
        has_unsaved: True if the run has done work that is in no checkpoint.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.has_unsaved = False
        self._has_received = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record signals during the block; Python only allows this in the main thread.

        After a stop that another rank was asked for, the signal of this one may still be on its
        way. It is awaited beyond the block, where it must not hide how the run has ended.
        """
        LISTENING.append(self)
        try:
            with handling(self._take, is_kept=lambda: self._awaits_signal):
                yield
        finally:
            LISTENING.remove(self)

    def request(self, number: int) -> None:
        """Ask the run to stop, as a signal with this number does that has reached another rank."""
        self.number = number

    def check(self, *, is_agreed: bool = True) -> None:
        """Stop if asked to; called where everything can be saved, as after a step.

        Args:
            is_agreed: False if other ranks do not know of a request yet, and would wait for this
                one in their next step.

        Raises:
            StopRequested: A signal or a caller has asked for a stop.
        """
        self.has_unsaved = True
        if self.number is not None and is_agreed:
            raise StopRequested

    @property
    def _awaits_signal(self) -> bool:
        return self.number is not None and not self._has_received

    def _take(self, number: int, frame: FrameType | None) -> None:
        # The second signal ends the run at once: its user does not want to wait for the step.
        if self._has_received:
            raise_signal(number, frame)
        self._has_received = True
        if self.number is None:
            self.number = number


def has_unsaved_steps() -> bool:
    """Tell if a run of this process has done work that is in no checkpoint."""
    return any(run.has_unsaved for run in LISTENING)


@contextmanager
def handling(handler: Handler, is_kept: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Install a handler for both signals during the block, then restore the former ones.

    Args:
        handler: Called with a signal.
        is_kept: Asked at the end of the block; if it holds, the handler stays.
    """
    # Python raises ValueError for handlers that another thread installs.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        if not is_kept():
            for number, previous in former.items():
                signal.signal(number, previous)


def raise_signal(number: int, frame: FrameType | None = None) -> None:
    """Handle a signal outside of training: raise an exception with the signal's exit code.

    Raises:
        Interrupted, Terminated: According to the signal.
    """
    raise interruption_error(number, f"stopped by {signal.Signals(number).name}")


def interruption_error(number: int, message: str) -> Interrupted:
    """Make the exception that corresponds to a signal."""
    return Terminated(message) if number == signal.SIGTERM else Interrupted(message)


def forward_signal(number: int, frame: FrameType | None = None) -> None:
    """Handle a signal in a process that has workers: they stop and answer, and this one goes on.

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
    """Pass signals on to the workers of this process during the block."""
    # A signal of an earlier command in this process must not end the new one.
    RECEIVED.clear()
    with handling(forward_signal):
        yield


def refuse_after_signal() -> None:
    """Refuse to start new work after a signal.

    Raises:
        Interrupted, Terminated: This process has received a signal.
    """
    if RECEIVED:
        raise_signal(RECEIVED[-1])
