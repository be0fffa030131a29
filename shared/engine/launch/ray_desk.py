"""The desk of a run on a Ray cluster: messages of its ranks, and signals for them."""

from typing import Protocol, TypedDict

from poc.shared.engine.console.work_count import Event, Report
from poc.shared.engine.worker.handle import SIGNALS_BEFORE_KILL, WorkerCrashed
from poc.shared.engine.worker.interruption import raise_signal
from poc.shared.errors import CheckFailed, Interrupted, Terminated, UsageError

from .rank_workers import Row, choose_failure

KINDS = {kind.__name__: kind for kind in (UsageError, CheckFailed, Interrupted, Terminated)}


class Message(TypedDict, total=False):
    """A message of a rank to the command: an event, its row, or the error that ended it.

    Rank 0 also tells the number of a restart, after which former errors are past.
    """

    rank: int
    event: Event
    row: Row
    error: tuple[str, str]
    restart: int


class RemoteMethod(Protocol):
    """A method of an actor."""

    def remote(self, *values: object) -> object:
        """Call it; `ray.get` waits for the result."""


class Handle(Protocol):
    """A desk from afar."""

    def __getattr__(self, name: str) -> RemoteMethod: ...


class Desk:
    """Messages of the ranks for the command, and its signals for them."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._signals: list[int] = []
        self._num_starts = 0

    def begin(self) -> int:
        """Count a start of all ranks; return the number of restarts."""
        self._num_starts += 1
        return self._num_starts - 1

    def tell(self, message: Message) -> None:
        """Leave a message for the command."""
        self._messages.append(message)

    def take(self) -> list[Message]:
        """Return the messages since the last call."""
        taken, self._messages = self._messages, []
        return taken

    def stop(self, number: int) -> None:
        """Ask the ranks to stop, as a signal with this number does; again, to stop at once."""
        self._signals.append(number)

    def signals(self) -> list[int]:
        """Return the numbers of all signals so far."""
        return self._signals


class RemoteRanks:
    """The ranks on the cluster, as signals of the command see them."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._num_signals = 0

    def take(self) -> list[int]:
        """Return the numbers of the signals that the ranks do not know yet."""
        numbers, self._numbers = self._numbers, []
        return numbers

    def interrupt(self, number: int) -> None:
        """Keep a signal for the ranks, since nothing may be sent from within its handler.

        Raises:
            Interrupted, Terminated: It is one signal more than a user sends who wants to wait.
        """
        self._numbers.append(number)
        self._num_signals += 1
        if self._num_signals > SIGNALS_BEFORE_KILL:
            raise_signal(number)


class Outcome:
    """The messages of the ranks so far, and the row or the error that follows from them.

    Args:
        max_restarts: Restarts that are allowed.
        report: Called with the events of rank 0.

    Attributes:
        failed: Rank -> error, of those that have failed for good.
    """

    def __init__(self, max_restarts: int, report: Report) -> None:
        self._max_restarts, self._report = max_restarts, report
        self._row: Row | None = None
        self.failed: dict[int, BaseException] = {}

    def hear(self, message: Message) -> None:
        """Take a message."""
        if "event" in message:
            self._report(message["event"])
        elif "restart" in message:
            self.failed.clear()
            text = f"Restart {message['restart']} of {self._max_restarts}: a rank has died."
            self._report({"event": "note", "text": text})
        elif "error" in message:
            kind, text = message["error"]
            self.failed[message["rank"]] = KINDS.get(kind, WorkerCrashed)(text)
        elif message["rank"] == 0:
            self._row = message["row"]

    def conclude(self) -> Row:
        """Return the row.

        Raises:
            UsageError, CheckFailed, Interrupted, Terminated: The ranks raised it.
            WorkerCrashed: A rank has died or raised an unforeseen error.
        """
        if self.failed:
            raise choose_failure(self.failed)[1]
        if self._row is None:
            raise WorkerCrashed("no rank has told how it ended")
        return self._row
