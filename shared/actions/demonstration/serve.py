"""`poc demo`: open runs, a page on this machine that asks them, and an orderly end."""

import errno
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report, noting
from poc.shared.engine.folder.decision import CHECKPOINT
from poc.shared.engine.worker.interruption import handling, raise_signal, refuse_after_signal
from poc.shared.errors import CheckFailed, UsageError

from .answers import open_answers, plan_runs
from .bodies import App
from .gate import LOOPBACK
from .page import build_app, refuse_missing, silence
from .uploads import Uploads

HOST, PORT = LOOPBACK[0], 7860
# A browser takes six connections for the page and two for a visit.
MAX_CONNECTIONS = 64
SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_TIDYING, SECONDS_TO_END = 0.1, 60.0, 10.0
# Settings of uvicorn. A visit leaves its stream of answers open, so the end does not wait for it.
SETTINGS: Mapping[str, object] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "lifespan": "on",
    "limit_concurrency": MAX_CONNECTIONS,
    "timeout_graceful_shutdown": 1,
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The wish of a user.

    Attributes:
        backend: Framework to compute in; None: all that are installed, or of two runs each its own.
        checkpoint: File in `checkpoints`, without its ending.
        host: Address to listen at.
        port: Port to listen at; 0: any free one.
    """

    backend: str | None = None
    checkpoint: str = CHECKPOINT
    host: str = HOST
    port: int = PORT


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that is ready to be served.

    Attributes:
        app: The page as an ASGI application.
        listener: Socket that waits for browsers.
        uploads: Folder of the uploads.
    """

    app: App
    listener: socket.socket
    uploads: Uploads

    def serve(self, tell: Note) -> None:
        """Serve until a signal comes; `tell` is called with the address once it answers.

        Raises:
            CheckFailed: The server ended by itself.
        """
        address = address_of(self.listener)
        say_ready = partial(tell, f"Open {address} (Ctrl-C ends it)")
        serve(self.app, self.listener, say_ready, self.uploads.sweep)


@contextmanager
def open_page(folders: Sequence[Path], wish: Wish, report: Report) -> Iterator[Page]:
    """Yield the page of one run or two; its processes and uploads end with the block.

    Args:
        folders: Run folders.
        wish: How.
        report: Called with progress events, and with each sentence for the user.

    Raises:
        UsageError: A folder is no trained run, Gradio is missing, or the port cannot be had.
        CheckFailed: A run's weights give no finite map.
    """
    refuse_missing()
    note = noting(report)
    plans = plan_runs(folders, wish.backend, wish.checkpoint, note)
    is_loopback = wish.host in LOOPBACK
    with (
        closing(listen(wish.host, wish.port)) as listener,
        open_answers(folders, plans, report) as answers,
        tempfile.TemporaryDirectory(prefix="poc-demo-") as folder,
    ):
        silence(Path(folder))
        uploads = Uploads(Path(folder))
        app = build_app(answers, uploads, is_loopback=is_loopback)
        if not is_loopback:
            note(warn_open(wish.host))
        yield Page(app=app, listener=listener, uploads=uploads)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that waits for browsers.

    Raises:
        UsageError: The port is taken or reserved, or the address is not one of this machine.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"Got --port {port}. Expected 0 to 65535. Try --port {PORT}.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise UsageError(
            f"Got --host {host!r}, which is no address. Expected one of this machine. Try --host "
            f"{HOST}."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen()
    except OSError as error:
        listener.close()
        raise refuse_place(host, port, error) from None
    return listener


def refuse_place(host: str, port: int, error: OSError) -> UsageError:
    """Return the sentence about an address that cannot be listened at."""
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"Got --port {port}, which another program uses. Expected a free port. Try --port "
            f"{port + 1 if port < 65_535 else PORT}, or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return UsageError(
            f"Got --port {port}, which the system reserves. Expected a port that you may use. Try "
            f"--port {PORT}."
        )
    return UsageError(
        f"Got --host {host!r}, which is no address of this machine ({error.strerror}). Expected "
        f"one. Try --host {HOST}."
    )


def warn_open(host: str) -> str:
    """Return the sentence about a page that other machines can reach."""
    return (
        f"--host {host}: everybody who can reach this machine over the network can open the page, "
        "without a password and without encryption. Their photos come to this machine."
    )


def address_of(listener: socket.socket) -> str:
    """Return the address that a browser opens."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": HOST, "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def serve(
    app: App,
    listener: socket.socket,
    say_ready: Callable[[], None],
    tidy: Callable[[], None],
) -> None:
    """Serve an application until a signal comes.

    Args:
        app: The application.
        listener: Socket that waits for browsers.
        say_ready: Called once it answers.
        tidy: Called every minute.

    Raises:
        CheckFailed: The server ended by itself, or did not start.
    """
    import uvicorn

    from .connections import TimedConnection

    server = uvicorn.Server(uvicorn.Config(app, http=TimedConnection, **SETTINGS))
    # A signal that came while the page was built was for it.
    refuse_after_signal()
    stop = Event()

    def end(number: int, frame: FrameType | None) -> None:
        # The second signal does not wait for the photo that is being answered.
        if stop.is_set():
            raise_signal(number, frame)
        stop.set()

    def run() -> None:
        # It ends its process if it cannot start; here, only the thread.
        with suppress(SystemExit):
            server.run([listener])

    # In a thread, where uvicorn leaves the signals to this process.
    thread = Thread(target=run, name="page", daemon=True)
    with handling(end):
        thread.start()
        try:
            is_told, tidied = False, time.monotonic()
            while not stop.wait(SECONDS_BETWEEN_LOOKS):
                if not thread.is_alive():
                    raise CheckFailed("The page's server has ended by itself; start it again")
                if server.started and not is_told:
                    say_ready()
                    is_told = True
                if time.monotonic() > tidied + SECONDS_BETWEEN_TIDYING:
                    tidy()
                    tidied = time.monotonic()
        finally:
            server.should_exit = True
            thread.join(SECONDS_TO_END)
