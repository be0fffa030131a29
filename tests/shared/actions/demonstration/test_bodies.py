"""Bodies of requests: in parts, too long, late, and read again."""

import asyncio
from http import HTTPStatus

import pytest

from poc.shared.actions.demonstration import bodies
from poc.shared.actions.demonstration.bodies import LATE, Body, read_body, replay


def give(*parts, is_open=False):
    """A function that gives these parts; an open body then waits for ever."""
    messages = [
        {"type": "http.request", "body": part, "more_body": is_open or number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return receive, messages


def read(receive, most):
    async def run():
        return await read_body(Body(receive), most)

    return asyncio.run(run())


def test_parts_are_joined():
    assert read(give(b"a", b"", b"bc")[0], 3) == b"abc"


def test_a_body_above_its_bound_is_not_read_to_its_end():
    receive, left = give(*[b"ab"] * 1_000)
    found = read(receive, 5)
    assert (found.status, found.text) == (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is larger than 5 bytes."
    )  # fmt: skip
    assert len(left) == 997


def test_a_body_that_does_not_end_is_late(monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS_FOR_A_BODY", 0.05)
    assert read(give(b"a", is_open=True)[0], 5) == LATE


def test_after_its_end_a_visit_may_take_any_time(monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS_FOR_A_BODY", 0.05)
    told = []

    async def run():
        body = Body(give(b"a")[0], lambda: told.append(1))
        assert (await body())["body"] == b"a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(body(), 0.2)
        return body.is_late

    assert asyncio.run(run()) is False
    assert told == [1]


def test_a_body_is_given_again_before_what_follows_it():
    async def run():
        receive = replay(b"read", give(b"next")[0])
        return [(await receive())["body"] for _ in range(2)]

    assert asyncio.run(run()) == [b"read", b"next"]
