"""Uploads on their way to a file: what is noted, and whose error an error is."""

import asyncio
import json
from http import HTTPStatus

import pytest

from poc.shared.actions.demonstration import bodies
from poc.shared.actions.demonstration.bodies import LATE
from poc.shared.actions.demonstration.landing import MALFORMED, pass_upload
from poc.shared.actions.demonstration.uploads import Uploads


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def send_upload(app, uploads, is_open=False):
    """The refusal and the messages of the answer."""
    sent = []
    messages = [{"type": "http.request", "body": b"a", "more_body": is_open}]

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    return asyncio.run(pass_upload(app, uploads, {}, receive, send)), sent


def answer(status, body, error=None):
    """An application that answers and then raises, as Starlette does."""

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})
        if error:
            raise error

    return app


def test_each_upload_is_noted_once(uploads):
    path = uploads.folder / "hash" / "a.png"
    path.parent.mkdir()
    path.touch()
    for _ in range(2):
        refusal, sent = send_upload(answer(200, json.dumps([str(path)]).encode()), uploads)
        assert (refusal, sent[0]["status"], len(sent)) == (None, 200, 3)
    uploads.discard(path)
    assert path.exists()
    uploads.discard(path)
    assert not path.exists()


@pytest.mark.parametrize("kind", [TypeError, AttributeError, KeyError, ValueError])
def test_a_form_that_the_reader_does_not_expect_is_the_visitors_error(kind, uploads):
    assert send_upload(answer(500, b"error", kind("x")), uploads) == (MALFORMED, [])
    assert MALFORMED.status == HTTPStatus.BAD_REQUEST


def test_a_full_disk_is_not(uploads):
    with pytest.raises(OSError, match="full"):
        send_upload(answer(500, b"error", OSError("full")), uploads)
    refusal, sent = send_upload(answer(500, b"error"), uploads)
    assert (refusal, sent[0]["status"]) == (None, 500)


def test_an_error_after_the_answer_is_not_answered_again(uploads):
    with pytest.raises(TypeError):
        send_upload(answer(200, b"[]", TypeError("x")), uploads)


def test_a_visitor_who_leaves_or_stops_is_no_error(uploads, monkeypatch):
    class ClientDisconnect(Exception):  # noqa: N818 - Starlette's name
        pass

    assert send_upload(answer(500, b"error", ClientDisconnect()), uploads) == (None, [])
    monkeypatch.setattr(bodies, "SECONDS_FOR_A_BODY", 0.05)
    found = send_upload(answer(500, b"error", ClientDisconnect()), uploads, is_open=True)
    assert found == (LATE, [])


def test_deletions_go_on_after_every_kind_of_end(uploads):
    for app in (answer(200, b"[]"), answer(500, b"error", TypeError()), answer(400, b"no")):
        send_upload(app, uploads)
    path = uploads.folder / "a.png"
    path.touch()
    uploads.discard(path)
    assert not path.exists()
