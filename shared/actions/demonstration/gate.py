"""The gate of the page's server: it opens the few addresses that the page needs.

Gradio's server has many more addresses: it serves files, fetches URLs that a request names, and
talks to other services. Here only a photo goes in, and only a page comes out.
"""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from .bodies import (
    App,
    Body,
    Headers,
    Message,
    Receive,
    Refusal,
    Send,
    read_body,
    refuse,
    replay,
    too_large,
)
from .landing import FULL, pass_upload
from .uploads import MAX_FILE_BYTES, Uploads

UPLOAD, QUESTION = "/gradio_api/upload", "/gradio_api/queue/join"
# The page, its parts, and the answers of a visit.
READ = {
    "/",
    "/config",
    "/favicon.ico",
    "/manifest.json",
    "/theme.css",
    "/gradio_api/info",
    "/gradio_api/queue/data",
    "/gradio_api/startup-events",
    "/gradio_api/upload_progress",
}
READ_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")
# A form around a file has a few hundred bytes, and a question without its photo has less.
MAX_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024
MAX_QUESTION_BYTES = 64 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The page loads nothing from elsewhere, and no other page may hold it. Gradio's page has scripts
# in its text, and makes functions from its templates.
HEADERS: Headers = (
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        b"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Gate:
    """An ASGI application around the page's own.

    Args:
        app: The page.
        uploads: Folder of the uploads.
        is_loopback: True if only this machine can call; then no other name of it is answered.
    """

    def __init__(self, app: App, uploads: Uploads, *, is_loopback: bool) -> None:
        self._app, self._uploads, self._is_loopback = app, uploads, is_loopback

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, with_headers(send))

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path = str(scope["method"]), str(scope["path"])
        headers = read_headers(scope)
        refusal = (
            refuse_stranger(headers, is_loopback=self._is_loopback)
            or refuse_address(method, path)
            or refuse_length(method, path, headers)
        )
        if refusal is not None:
            await refuse(refusal, send)
        elif method != "POST":
            await self._app(scope, receive, send)
        elif path == UPLOAD:
            await self._take_upload(scope, receive, send)
        else:
            await self._take_question(scope, receive, send)

    async def _take_upload(self, scope: Message, receive: Receive, send: Send) -> None:
        num_bytes = int(read_headers(scope)["content-length"])
        if not self._uploads.reserve(num_bytes):
            await refuse(FULL, send)
            return
        try:
            refusal = await pass_upload(self._app, self._uploads, scope, receive, send)
        finally:
            self._uploads.release(num_bytes)
        if refusal is not None:
            await refuse(refusal, send)

    async def _take_question(self, scope: Message, receive: Receive, send: Send) -> None:
        body = Body(receive)
        content = await read_body(body, MAX_QUESTION_BYTES)
        question = check_question(content, self._uploads) if isinstance(content, bytes) else content
        if isinstance(question, Refusal):
            await refuse(question, send)
            return
        scope["headers"] = with_length(scope, len(question))
        await self._app(scope, replay(question, receive), send)


def refuse_length(method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
    """Refuse bodies that do not state their length, and those that are too long."""
    if method != "POST":
        return None
    length = headers.get("content-length", "")
    # A body in chunks may be longer than the length that is stated with it.
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "The request does not state its length.")
    most = MAX_FORM_BYTES if path == UPLOAD else MAX_QUESTION_BYTES
    # A number of so many digits is not converted: that takes time.
    return too_large(most) if len(length) > 12 or int(length) > most else None


def refuse_stranger(headers: Mapping[str, str], *, is_loopback: bool) -> Refusal | None:
    """Refuse requests of other sites' pages, and those for another name of this machine.

    Otherwise a page from elsewhere could read the demo in its reader's browser.
    """
    host = headers.get("host", "")
    if is_loopback and name_of(host) not in LOOPBACK:
        return Refusal(HTTPStatus.FORBIDDEN, "The page answers on this machine only.")
    if "origin" in headers and headers["origin"].partition("://")[2] != host:
        return Refusal(HTTPStatus.FORBIDDEN, "The request comes from another site.")
    return None


def name_of(host: str) -> str | None:
    """Return the name in `name:port`; None if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def refuse_address(method: str, path: str) -> Refusal | None:
    """Refuse every address that the page does not need."""
    is_read = path in READ or (path.startswith(READ_BELOW) and ".." not in path)
    if method in ("GET", "HEAD") and is_read:
        return None
    if method == "POST" and path in (UPLOAD, QUESTION):
        return None
    return Refusal(HTTPStatus.NOT_FOUND, "There is nothing here.")


def check_question(content: bytes, uploads: Uploads) -> bytes | Refusal:
    """Return a question as it was understood, or refuse it.

    Gradio would fetch a URL or copy another file that it names as its photo.
    """
    refusal = Refusal(HTTPStatus.BAD_REQUEST, "The question is not about an uploaded photo.")
    try:
        question = json.loads(content)
        is_known = asks_about_a_photo(question)
        paths = list(find_paths(question))
        # Written again, so that Gradio reads what was checked and no second name of a value.
        written = json.dumps(question).encode()
    except (ValueError, RecursionError):
        return refusal
    if is_known and all(isinstance(path, str) and uploads.holds(path) for path in paths):
        return written
    return refusal


def asks_about_a_photo(question: object) -> bool:
    """Tell if a question is of the page's only kind, number 0, and has one photo."""
    if not isinstance(question, dict):
        return False
    number, data = question.get("fn_index"), question.get("data")
    # In Python, False equals 0.
    if type(number) is not int or number != 0 or not isinstance(data, list) or len(data) != 1:
        return False
    return isinstance(data[0], dict) and "path" in data[0]


def find_paths(value: object) -> Iterator[object]:
    """Yield each value that is named `path`, at any depth."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for each in value.values():
            yield from find_paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from find_paths(each)


def read_headers(scope: Message) -> dict[str, str]:
    """Return the headers of a request; of equal names, the last."""
    pairs = cast("Headers", scope["headers"])
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def with_length(scope: Message, length: int) -> Headers:
    """Return the headers of a request with another length of its body."""
    pairs = cast("Headers", scope["headers"])
    kept = [pair for pair in pairs if pair[0].lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]


def with_headers(send: Send) -> Send:
    """Return a function that sends the page's own headers with each answer."""

    async def send_all(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*cast("Headers", message.get("headers", ())), *HEADERS]
        await send(message)

    return send_all
