"""The way of an upload to its file: Gradio takes it in, and here its files are noted."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import cast

from .bodies import LATE, App, Body, Message, Receive, Refusal, Send
from .uploads import Uploads

MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "The upload is no form with a file that has a name.")
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many photos wait: try again in two minutes.")
# Gradio's reader of forms raises these if it takes a field for a file. A full disk raises another
# kind.
ERRORS = (AttributeError, TypeError, ValueError, LookupError, AssertionError)


async def pass_upload(
    app: App, uploads: Uploads, scope: Message, receive: Receive, send: Send
) -> Refusal | None:
    """Let the page take an upload in; return the refusal of one that it cannot.

    Args:
        app: The page.
        uploads: Folder of the uploads.
        scope: The request.
        receive: Gives its messages.
        send: Takes the messages of the answer.
    """
    body, reply = Body(receive, uploads.start_landing), Reply(uploads, send)
    try:
        await app(scope, body, reply)
    except Exception as error:
        if reply.is_sent:
            raise
        if body.is_late:
            return LATE
        if isinstance(error, ERRORS):
            return MALFORMED
        # A visitor has left in the middle of an upload. The class is named by text, since its
        # package is there only with the extra.
        if type(error).__name__ != "ClientDisconnect":
            await reply.flush()
            raise
        return None
    finally:
        if body.is_complete:
            uploads.end_landing()
    await reply.flush()
    return None


class Reply:
    """The answer to an upload: its files are noted before the visitor can ask about them.

    An answer with status 500 waits for `flush`, since its error may be the visitor's.

    Args:
        uploads: Folder of the uploads.
        send: Takes the messages.

    Attributes:
        is_sent: True after the first message has gone out.
    """

    def __init__(self, uploads: Uploads, send: Send) -> None:
        self._uploads, self._send, self.is_sent = uploads, send, False
        self._held: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Keep a message; send all when the answer is complete."""
        self._held.append(message)
        if message["type"] != "http.response.body" or message.get("more_body"):
            return
        status = self._held[0].get("status")
        if status == HTTPStatus.OK:
            for path in json.loads(self._content()):
                self._uploads.note(Path(path))
        if status != HTTPStatus.INTERNAL_SERVER_ERROR:
            await self.flush()

    async def flush(self) -> None:
        """Send what was kept."""
        held, self._held = self._held, []
        for message in held:
            self.is_sent = True
            await self._send(message)

    def _content(self) -> bytes:
        return b"".join(cast("bytes", message.get("body", b"")) for message in self._held)
