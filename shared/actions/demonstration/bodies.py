"""Bodies of requests: their longest time and length, and refusals."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, cast

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

# Enough for the largest photo over a slow network. Without an end, visitors that send nothing
# would keep the room for others' photos.
SECONDS_FOR_A_BODY = 120.0


class Refusal(NamedTuple):
    """A request that goes no further."""

    status: HTTPStatus
    text: str


LATE = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not come to its end in two minutes.")


class Body:
    """The body of a request, message by message; after its longest time it ends.

    Args:
        receive: Gives the messages of the request.
        tell_complete: Called when the last message is there.

    Attributes:
        is_late: True after the longest time.
        is_complete: True when the last message is there.
    """

    def __init__(self, receive: Receive, tell_complete: Callable[[], None] = lambda: None) -> None:
        self._receive, self._tell_complete = receive, tell_complete
        self._end = asyncio.get_running_loop().time() + SECONDS_FOR_A_BODY
        self.is_late = self.is_complete = False

    async def __call__(self) -> Message:
        """Return the next message."""
        if self.is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            self.is_late = True
            return {"type": "http.disconnect"}
        if message["type"] == "http.request" and not message.get("more_body"):
            self.is_complete = True
            self._tell_complete()
        return message


async def read_body(body: Body, most: int) -> bytes | Refusal:
    """Return the body of a request, or refuse it if it is longer than `most` or late."""
    parts, size = [], 0
    while True:
        message = await body()
        if body.is_late:
            return LATE
        parts.append(cast("bytes", message.get("body", b"")))
        size += len(parts[-1])
        if size > most:
            return too_large(most)
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(parts)


def replay(content: bytes, receive: Receive) -> Receive:
    """Return a function that gives a body that was read already, and then asks the former one."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def too_large(most: int) -> Refusal:
    """Return the refusal of a body above so many bytes."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request is larger than {most:,} bytes."
    )


async def refuse(refusal: Refusal, send: Send) -> None:
    """Answer with the status and the sentence."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
    await send({"type": "http.response.body", "body": refusal.text.encode()})
