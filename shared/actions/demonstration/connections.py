"""Connections of the page's server: one that asks for nothing is closed.

The module needs uvicorn, which comes with the extra `demo`.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

# From the opening of a connection, or its last answer, to the end of a request's headers.
SECONDS_FOR_A_REQUEST = 10.0


class TimedConnection(H11Protocol):  # type: ignore[misc]
    """A connection of uvicorn's that is closed if no request comes.

    uvicorn has a limit between two requests only, and a single byte ends it. So a few visitors who
    send nothing would take all connections.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Read; a request that has begun takes the time that it takes."""
        super().data_received(data)
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be there already."""
        self._start_timer()
        super().on_response_complete()
        if self._is_answering():
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(SECONDS_FOR_A_REQUEST, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
