"""Connections that send nothing, or only a part of a request, are closed."""

import asyncio
import os
import signal
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from poc.shared.actions.demonstration import serve as serving_module
from poc.shared.actions.demonstration.serve import Page, listen
from poc.shared.actions.demonstration.uploads import Uploads
from poc.shared.engine.worker import interruption
from poc.tests.shared.actions.demonstration.test_serve import hello

connections = pytest.importorskip(
    "poc.shared.actions.demonstration.connections", reason="needs the extra demo"
)
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SECONDS = 0.5


@pytest.fixture
def serving(monkeypatch, tmp_path):
    """A function that serves an application while another function visits its port."""
    monkeypatch.setattr(interruption, "RECEIVED", [])
    monkeypatch.setattr(connections, "SECONDS_FOR_A_REQUEST", SECONDS)

    def serve(visit, app=hello):
        with listen("127.0.0.1", 0) as listener:
            place = listener.getsockname()

            def visit_and_end(text):
                visit(lambda: socket.create_connection(place, timeout=10))
                os.kill(os.getpid(), signal.SIGINT)

            Page(app=app, listener=listener, uploads=Uploads(tmp_path)).serve(visit_and_end)

    return serve


async def slow(scope, receive, send):
    """An application whose answer takes longer than a request may."""
    if scope["type"] == "http":
        await asyncio.sleep(2.5)
    await hello(scope, receive, send)


def test_a_connection_that_sends_nothing_is_closed(serving):
    def visit(connect):
        with connect() as one:
            assert one.recv(9) == b""

    serving(visit)


def test_a_request_that_drips_is_closed(serving):
    """Not at once, and although it never pauses for as long as the limit."""
    lived = []

    def visit(connect):
        with connect() as one:
            started = time.monotonic()
            one.settimeout(0.05)
            with suppress(ConnectionError):
                while time.monotonic() < started + 60:
                    one.sendall(b"G")
                    with suppress(TimeoutError):
                        assert one.recv(9) == b""
                        break
            lived.append(time.monotonic() - started)

    serving(visit)
    assert 0.9 * SECONDS < lived[0] < 60


def test_an_answer_may_take_longer_and_another_request_may_follow(serving, monkeypatch):
    monkeypatch.setattr(connections, "SECONDS_FOR_A_REQUEST", 2.0)

    def visit(connect):
        with connect() as one:
            for _ in range(2):
                one.sendall(REQUEST)
                found = b""
                while b"hello" not in found:
                    part = one.recv(999)
                    assert part, found
                    found += part
            # After its answers, it waits no longer than a new one.
            while one.recv(999):
                pass

    serving(visit, slow)


def test_idle_connections_lock_nobody_out(serving, monkeypatch):
    """A few connections and much time, so that none is closed before all are there."""
    settings = {**serving_module.SETTINGS, "limit_concurrency": 4}
    monkeypatch.setattr(serving_module, "SETTINGS", settings)
    monkeypatch.setattr(connections, "SECONDS_FOR_A_REQUEST", 4.0)

    def visit(connect):
        with ExitStack() as stack:
            idle = [stack.enter_context(connect()) for _ in range(4)]
            with connect() as one:
                one.sendall(REQUEST)
                assert b" 503 " in one.recv(99)
            for connection in idle:
                assert connection.recv(9) == b""
            with connect() as one:
                one.sendall(REQUEST)
                assert b" 200 " in one.recv(99)

    serving(visit)
