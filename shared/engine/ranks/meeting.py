"""The meeting of the ranks: small values of the host, exchanged through rank 0.

Tensors of a step go through the framework's own collectives. Values of the host (a stop, a save,
metrics, logits of an evaluation) need no tensor and come here, once for both frameworks.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from poc.shared.engine.worker.messages import receive, send
from poc.shared.errors import UsageError

from .place import Place, split_address

# The others may import their framework while one waits; on a busy machine that takes minutes.
SECONDS_TO_COME = 300.0
SECONDS_BETWEEN_TRIES = 0.05
# A rank greets at once.
SECONDS_TO_GREET = 5.0

# Numbers and arrays (…) by name.
Values = dict[str, Any]


class RankLost(RuntimeError):  # noqa: N818 - what has happened
    """The end of another rank, seen from this one."""


@dataclass
class Line:
    """A connection to another rank."""

    index: int
    connection: socket.socket
    incoming: IO[bytes]
    outgoing: IO[bytes]

    @classmethod
    def over(cls, index: int, connection: socket.socket) -> "Line":
        """Return a line over a connection that is open."""
        # A small message must not wait for more of them.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        return cls(index, connection, connection.makefile("rb"), connection.makefile("wb"))

    def tell(self, message: Mapping[str, object]) -> None:
        """Send a message.

        Raises:
            RankLost: The other rank has ended.
        """
        try:
            send(self.outgoing, message)
        except OSError:
            raise self._lost() from None

    def hear(self) -> Values:
        """Wait for a message.

        Raises:
            RankLost: The other rank has ended.
        """
        try:
            return receive(self.incoming)
        except (EOFError, OSError):
            raise self._lost() from None

    def close(self) -> None:
        """End the connection."""
        for stream in (self.outgoing, self.incoming, self.connection):
            with suppress(OSError):
                stream.close()

    def _lost(self) -> RankLost:
        return RankLost(f"rank {self.index} has ended in the middle of the run")


class Meeting:
    """Connections of rank 0 with every other rank; a context manager.

    Args:
        place: The place of this process, of several.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines = await_others(place) if place.is_first else [find_first(place)]

    def __enter__(self) -> "Meeting":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def own_host(self) -> str:
        """Return the name under which the other ranks reach this machine."""
        if self._place.is_first:
            return split_address(self._place.meeting)[0]
        return str(self._lines[0].connection.getsockname()[0])

    def exchange(self, value: Mapping[str, object]) -> list[Values]:
        """Give a value, and return those of all ranks in their order; every rank has to call it.

        Values are of JSON and arrays of any shape (…).

        Raises:
            RankLost: A rank has ended.
        """
        if not self._place.is_first:
            self._lines[0].tell(value)
            return list(self._lines[0].hear()["values"])
        values = [dict(value), *(line.hear() for line in self._lines)]
        for line in self._lines:
            line.tell({"values": values})
        return values

    def agree(
        self, value: Mapping[str, object], combine: Callable[[Sequence[Values]], Values]
    ) -> Values:
        """Give a value, and return what rank 0 makes of those of all; every rank has to call it.

        The answer does not grow with the number of ranks, as that of `exchange` does.

        Args:
            value: Values of JSON and arrays of any shape (…).
            combine: Makes the answer of the values of all ranks, in their order.

        Raises:
            RankLost: A rank has ended.
        """
        if not self._place.is_first:
            self._lines[0].tell(value)
            return self._lines[0].hear()
        answer = combine([dict(value), *(line.hear() for line in self._lines)])
        for line in self._lines:
            line.tell(answer)
        return answer

    def close(self) -> None:
        """End the connections."""
        for line in self._lines:
            line.close()


def await_others(place: Place) -> list[Line]:
    """Wait for all other ranks; return a line to each, in their order.

    Raises:
        RankLost: One of them has not come in time.
        UsageError: This process cannot listen at the address.
    """
    lines: dict[int, Line] = {}
    with listen(place.meeting) as server:
        deadline = time.monotonic() + SECONDS_TO_COME
        while len(lines) < place.count - 1:
            server.settimeout(max(deadline - time.monotonic(), SECONDS_BETWEEN_TRIES))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = next(i for i in range(1, place.count) if i not in lines)
                raise RankLost(
                    f"rank {missing} has not come within {SECONDS_TO_COME:g} seconds"
                ) from None
            index = greeted(connection, place)
            if index is None:
                connection.close()
            else:
                lines[index] = Line.over(index, connection)
    return [lines[index] for index in sorted(lines)]


def listen(address: str) -> socket.socket:
    """Return a server at `host:port`.

    Raises:
        UsageError: The host is not this machine, or the port is taken.
    """
    try:
        return socket.create_server(split_address(address))
    except OSError as error:
        raise UsageError(
            f"Got the address {address} for rank 0, which cannot listen there ({error.strerror}). "
            "Expected a name of rank 0's machine and a free port. Try another MASTER_PORT or "
            "MASTER_ADDR, or the first address of TF_CONFIG."
        ) from None


def greeted(connection: socket.socket, place: Place) -> int | None:
    """Return the rank of a process that says the run's word; None for any other program."""
    expected = {greeting(place.token, index): index for index in range(1, place.count)}
    size = len(greeting(place.token, 0))
    said = b""
    connection.settimeout(SECONDS_TO_GREET)
    with suppress(OSError):
        while len(said) < size and (more := connection.recv(size - len(said))):
            said += more
    return expected.get(said)


def greeting(token: str, index: int) -> bytes:
    """Return what a rank says first, in a length that no rank changes."""
    return f"{token} {index:08d}".encode()


def find_first(place: Place) -> Line:
    """Connect to rank 0, which may listen only later.

    Raises:
        RankLost: It has not listened in time.
    """
    deadline = time.monotonic() + SECONDS_TO_COME
    while (connection := connect(place.meeting)) is None:
        if time.monotonic() > deadline:
            raise RankLost(f"rank 0 has not come within {SECONDS_TO_COME:g} seconds")
        time.sleep(SECONDS_BETWEEN_TRIES)
    connection.sendall(greeting(place.token, place.index))
    return Line.over(0, connection)


def connect(address: str) -> socket.socket | None:
    """Return a connection, or None if nobody listens yet."""
    try:
        connection = socket.create_connection(split_address(address))
    except OSError:
        return None
    if connection.getsockname() != connection.getpeername():
        return connection
    # A free port may be given to the caller itself, which then has called itself.
    connection.close()
    return None
