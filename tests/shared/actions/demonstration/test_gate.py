"""The gate of the page: addresses, hosts, sizes, and the paths that a question may name."""

import asyncio
import json
from http import HTTPStatus

import pytest

from poc.shared.actions.demonstration import uploads as module
from poc.shared.actions.demonstration.gate import (
    MAX_FORM_BYTES,
    MAX_QUESTION_BYTES,
    QUESTION,
    UPLOAD,
    Gate,
)
from poc.shared.actions.demonstration.uploads import Uploads

HOST = ("host", "127.0.0.1:7860")


class Inner:
    """An application that notes the requests that reach it."""

    def __init__(self):
        self.bodies = []
        self.kinds = []

    async def __call__(self, scope, receive, send):
        self.kinds.append(scope["type"])
        if scope["type"] == "http":
            message = await receive()
            self.bodies.append((dict(scope["headers"]), message["body"]))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            body = b"[]" if scope["path"] == UPLOAD else b"in"
            await send({"type": "http.response.body", "body": body})


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def ask(uploads, path, method="GET", headers=(HOST,), body=b"", is_loopback=True, chunks=1):
    """Status, text and headers of an answer, and the application behind the gate."""
    inner, sent = Inner(), []
    size = max(len(body) // chunks, 1)
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers]
    if method == "POST" and not any(name == "content-length" for name, _ in headers):
        pairs.append((b"content-length", str(len(body)).encode()))
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    gate = Gate(inner, uploads, is_loopback=is_loopback)
    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode(), dict(sent[0]["headers"]), inner


def question(path):
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return {"data": [photo], "fn_index": 0, "session_hash": "a"}


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index.js", "/gradio_api/queue/data"],
)
def test_the_page_and_its_parts_are_read_and_load_nothing_from_elsewhere(path, uploads):
    status, text, headers, _ = ask(uploads, path)
    assert (status, text) == (200, "in")
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/"),
        ("GET", "/assets/../../../etc/passwd"),
        ("GET", "/static/..%2f..%2fetc/passwd/.."),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/monitoring"),
        ("GET", "/gradio_api/runs"),
        ("GET", UPLOAD),
        ("POST", "/"),
        ("POST", "/login"),
        ("POST", "/gradio_api/run/answer"),
        ("POST", "/gradio_api/call/answer"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("PUT", UPLOAD),
        ("DELETE", "/"),
    ],
)
def test_every_other_address_is_closed(method, path, uploads):
    status, _, _, inner = ask(uploads, path, method)
    assert status == HTTPStatus.NOT_FOUND
    assert not inner.kinds


@pytest.mark.parametrize(
    ("headers", "is_loopback", "status"),
    [
        ([("host", "localhost:7860")], True, 200),
        ([("host", "[::1]:7860")], True, 200),
        ([("host", "evil.example")], True, 403),
        ([("host", "127.0.0.1.evil.example:7860")], True, 403),
        ([("host", "[")], True, 403),
        ([], True, 403),
        ([("host", "desk.example:7860")], False, 200),
        ([HOST, ("origin", "http://127.0.0.1:7860")], True, 200),
        ([HOST, ("origin", "http://evil.example")], True, 403),
        ([HOST, ("origin", "null")], True, 403),
        ([("host", "desk.example"), ("origin", "http://evil.example")], False, 403),
    ],
)
def test_no_page_of_another_site_reads_the_demo(headers, is_loopback, status, uploads):
    assert ask(uploads, "/", headers=headers, is_loopback=is_loopback)[0] == status


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        (UPLOAD, str(MAX_FORM_BYTES), 200),
        (UPLOAD, str(MAX_FORM_BYTES + 1), 413),
        (QUESTION, str(MAX_QUESTION_BYTES + 1), 413),
        (UPLOAD, "9" * 5_000, 413),
        (UPLOAD, "-1", 411),
        (UPLOAD, "1e3", 411),
        (UPLOAD, "²", 411),
        (UPLOAD, "", 411),
    ],
)
def test_a_body_states_its_length_and_has_a_largest_one(path, length, status, uploads):
    found = ask(uploads, path, "POST", headers=[HOST, ("content-length", length)])
    assert found[0] == status


def test_a_full_folder_takes_no_more(uploads, monkeypatch):
    monkeypatch.setattr(Uploads, "reserve", lambda self, num_bytes: False)
    assert ask(uploads, UPLOAD, "POST")[0] == HTTPStatus.SERVICE_UNAVAILABLE


def test_room_is_given_back_when_a_request_ends(uploads, monkeypatch):
    monkeypatch.setattr(module, "MAX_FOLDER_BYTES", 100)
    for _ in range(5):
        assert ask(uploads, UPLOAD, "POST", body=bytes(60))[0] == HTTPStatus.OK
    assert uploads.reserve(60)
    assert ask(uploads, UPLOAD, "POST", body=bytes(60))[0] == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("path", [QUESTION, UPLOAD])
def test_a_body_in_chunks_is_refused_whatever_length_it_states(path, uploads):
    headers = [HOST, ("content-length", "5"), ("transfer-encoding", "chunked")]
    status, _, _, inner = ask(uploads, path, "POST", headers=headers, body=b"1234567")
    assert (status, inner.kinds) == (HTTPStatus.LENGTH_REQUIRED, [])


@pytest.mark.parametrize("chunks", [1, 7])
def test_a_question_about_an_upload_is_passed_on_as_it_was_checked(chunks, uploads):
    path = str(uploads.folder / "hash" / "a.png")
    # Of two equal names, the last one counts, for the gate and behind it.
    twice = json.dumps(question(path)).replace('{"path"', '{"path": "/etc/passwd", "path"')
    status, _, _, inner = ask(uploads, QUESTION, "POST", body=twice.encode(), chunks=chunks)
    assert status == HTTPStatus.OK
    ((headers, body),) = inner.bodies
    assert json.loads(body) == question(path)
    assert b"passwd" not in body
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    "body",
    [
        question("/etc/passwd"),
        question("http://127.0.0.1/a.png"),
        question("{}/../a.png"),
        question(3),
        question(None),
        {"data": [[{"a": {"path": "/etc/passwd"}}]]},
        {"data": [], "event_data": {"path": "/etc/passwd"}},
        {**question("{}/hash/a.png"), "event_data": {"path": "/etc/passwd"}},
        {**question("{}/hash/a.png"), "fn_index": 99},
        {**question("{}/hash/a.png"), "fn_index": -1},
        {**question("{}/hash/a.png"), "fn_index": False},
        {**question("{}/hash/a.png"), "fn_index": None},
        {**question("{}/hash/a.png"), "data": []},
        {**question("{}/hash/a.png"), "data": ["{}/hash/a.png"]},
        {**question("{}/hash/a.png"), "data": "a"},
        {"data": question("{}/hash/a.png")["data"]},
        [],
        b"",
        b"[" * 60_000,
        b"\xff\xfe",
        b"nothing",
    ],
)
def test_a_question_about_anything_else_is_refused(body, uploads):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = text.replace(b"{}", str(uploads.folder).encode())
    status, words, _, inner = ask(uploads, QUESTION, "POST", body=text)
    assert (status, inner.kinds) == (HTTPStatus.BAD_REQUEST, [])
    assert words == "The question is not about an uploaded photo."


def test_a_web_socket_gets_no_answer_and_the_start_is_passed_on(uploads):
    inner = Inner()
    gate = Gate(inner, uploads, is_loopback=True)
    asyncio.run(gate({"type": "websocket"}, None, None))
    assert not inner.kinds
    asyncio.run(gate({"type": "lifespan"}, None, None))
    assert inner.kinds == ["lifespan"]
