"""The server of the page: where it listens, refusals in a sentence, and its end by a signal."""

import os
import signal
import socket
import threading
import urllib.request

import pytest

from poc.shared.actions.demonstration import page
from poc.shared.actions.demonstration.serve import (
    Page,
    Wish,
    address_of,
    listen,
    open_page,
    serve,
    warn_open,
)
from poc.shared.actions.demonstration.uploads import Uploads
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.worker import interruption
from poc.shared.errors import CheckFailed, UsageError

pytest.importorskip("gradio", reason="needs the extra demo")


async def hello(scope, receive, send):
    """An application that answers every request."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number, monkeypatch, tmp_path):
    monkeypatch.setattr(interruption, "RECEIVED", [])
    found = []

    def visit(text):
        address = text.split()[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        found.append(opener.open(address, timeout=30).read())
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    with listen("127.0.0.1", 0) as listener:
        Page(app=hello, listener=listener, uploads=Uploads(tmp_path)).serve(visit)
    assert found == [b"hello"]
    assert not [thread for thread in threading.enumerate() if thread.name == "page"]


async def broken(scope, receive, send):
    """An application that cannot start."""
    raise RuntimeError("no start")


def test_a_server_that_cannot_start_is_no_silence(monkeypatch):
    monkeypatch.setattr(interruption, "RECEIVED", [])
    with listen("127.0.0.1", 0) as listener, pytest.raises(CheckFailed, match="ended by itself"):
        serve(broken, listener, lambda: None, lambda: None)


def test_only_this_machine_is_let_in_by_default():
    with listen(Wish().host, 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with listen("0.0.0.0", 0) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")
    assert "without a password and without encryption" in warn_open("0.0.0.0")


def test_a_port_in_use_is_one_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"Got --port {port}, which another program uses"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 70_000, "Got --port 70000. Expected 0 to 65535"),
        ("127.0.0.1", -1, "Got --port -1"),
        ("no such host", 0, "Got --host 'no such host', which is no address"),
        ("a" * 300, 0, "which is no address"),
        ("192.0.2.1", 0, "which is no address of this machine"),
    ],
)
def test_a_place_that_does_not_exist_is_one_sentence(host, port, words):
    with pytest.raises(UsageError, match=words):
        listen(host, port)


def test_the_missing_extra_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    expected = r"needs the package gradio, not installed.*pip install 'poc\[demo\]'"
    with (
        pytest.raises(UsageError, match=expected),
        open_page([tmp_path], Wish(), unheard),
    ):
        pass
