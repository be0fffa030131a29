"""The worker's own side: load one backend, then answer requests until the pipe closes.

Run as `python -m poc.shared.engine.server BACKEND`. Standard input and output carry messages;
output of the framework goes to standard error, which the other side records in a log. If standard
input is a socket, this process is a template, which forks into workers.
"""

import os
import stat
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.worker.interruption import handling, raise_signal
from poc.shared.engine.worker.orphan import ORPHAN_STATUS, OrphanWatch
from poc.shared.errors import CheckFailed, Interrupted, Terminated, UsageError


def main(name: str) -> None:
    """Serve one backend until the pipe of requests closes."""
    requests, replies = take_over_standard_streams()
    watch = OrphanWatch(requests.fileno())
    watch.start()
    # Imported late, so that their time is measured and their output goes to the log.
    from poc.shared.engine.worker.messages import receive, send

    # A closed pipe means that the other process is gone, and needs no answer.
    with suppress(BrokenPipeError, EOFError, Interrupted), handling(raise_signal):
        # If the framework is missing, the other side gets the reason instead of a dead pipe.
        try:
            handle = load_operations(name, lambda event: send(replies, event))
        except (Exception, KeyboardInterrupt) as error:
            send(replies, failure(error))
            return
        send(replies, {"result": "ready"})
        while True:
            watch.is_busy = False
            request = receive(requests)
            watch.is_busy = True
            try:
                reply = {"result": handle(request)}
            except (Exception, KeyboardInterrupt) as error:
                reply = failure(error)
            # Before the other side can read the reply and close the pipe: this is no orphan then.
            watch.is_busy = False
            send(replies, reply)
    if watch.is_orphan:
        # A framework takes seconds to shut down, and nobody waits for it.
        os._exit(ORPHAN_STATUS)


def take_over_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep both pipes for messages, and send all prints to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # By descriptor, since the C++ code of a framework writes to number 1, not to sys.stdout.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def load_operations(name: str, report: Report) -> Callable[[Mapping[str, Any]], object]:
    """Import the backend, and return the function that answers a request."""
    # The import is timed: it is a row of the timing table, and includes the framework.
    started = time.perf_counter()
    from poc.shared.engine.backend import load

    from .operations import ServedOperations

    backend = load(name)
    operations = ServedOperations(backend, report, time.perf_counter() - started)

    def handle(request: Mapping[str, Any]) -> object:
        operation = request["operation"]
        # Only public methods of the class: a request must not reach other attributes.
        if operation.startswith("_") or not hasattr(ServedOperations, operation):
            raise ValueError(f"Got the operation {operation!r}. Expected one that workers have.")
        return getattr(operations, operation)(**request["arguments"])

    return handle


def failure(error: BaseException) -> dict[str, object]:
    """Make the reply that describes an exception."""
    kinds: dict[type[BaseException], str] = {
        UsageError: "usage",
        CheckFailed: "check",
        Terminated: "terminated",
        KeyboardInterrupt: "interrupted",
    }
    kind = next((name for type_, name in kinds.items() if isinstance(error, type_)), "crash")
    # The traceback is for the log; the user of a refusal only needs its sentence.
    if kind == "crash":
        with suppress(OSError):
            traceback.print_exception(error)
    message = str(error) if kind != "crash" else f"{type(error).__name__}: {error}"
    return {"error": {"kind": kind, "message": message}}


def serve(name: str) -> None:
    """Be a worker, or a template of workers, by the kind of standard input."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        main(name)
        return
    from .forking import serve_forks

    if serve_forks(name):
        main(name)
    else:
        # Nothing was computed here, so that there is nothing to shut down.
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
