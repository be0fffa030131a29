"""A worker: one process that holds one backend, and the handle to call it.

TensorFlow and torchvision cannot share a process, and two frameworks in one would share threads
and memory. The interpreter is the running one, or the one that POC_TF_PYTHON or POC_TORCH_PYTHON
names: on a GPU each framework needs an environment of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from poc.shared.errors import CheckFailed, UsageError

from .messages import receive, send

Report = Callable[[Mapping[str, Any]], None]
LOG_LINES = 15


class WorkerCrashed(RuntimeError):  # noqa: N818 - said as users would say it
    """A worker died or raised something unforeseen; the message holds its last log lines."""


class Worker:
    """Handle of a worker process; use as a context manager.

    Args:
        backend: `tf` or `torch`.
        log: File that takes what the process prints; none: discarded, and not shown on a crash.
        report: Called with every event that an operation sends (progress).
    """

    def __init__(
        self, backend: str, *, log: Path | None = None, report: Report | None = None
    ) -> None:
        self.backend, self._log = backend, log
        self._report = report or (lambda event: None)
        self._process = start_process(backend, log)
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def call(self, operation: str, **arguments: Any) -> Any:
        """Run one operation in the worker.

        Raises:
            UsageError, CheckFailed, KeyboardInterrupt: Raised there, raised again here.
            WorkerCrashed: Anything else, or the process died.
        """
        try:
            send(self._stream("stdin"), {"operation": operation, "arguments": arguments})
        except BrokenPipeError:
            raise self._crash("died") from None
        return self._receive()

    def close(self) -> None:
        """End the process."""
        self._stream("stdin").close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stream("stdout").close()

    def _receive(self) -> Any:
        """Wait for the answer, passing events on."""
        while True:
            try:
                message = receive(self._stream("stdout"))
            except EOFError:
                raise self._crash(f"died with exit status {self._process.wait()}") from None
            except KeyboardInterrupt:
                # The worker has had the same signal: it marks its run and answers.
                continue
            if "event" in message:
                self._report(message)
            elif "error" in message:
                raise self._raised(**message["error"])
            else:
                return message["result"]

    def _raised(self, kind: str, message: str) -> BaseException:
        """The exception that stands for an error in the worker."""
        if kind == "crash":
            return self._crash(f"raised {message}")
        kinds: dict[str, type[BaseException]] = {
            "usage": UsageError,
            "check": CheckFailed,
            "interrupted": KeyboardInterrupt,
        }
        return kinds[kind](message)

    def _crash(self, what: str) -> WorkerCrashed:
        lines = []
        if self._log and self._log.exists():
            lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        tail = "\n  ".join(["", *lines]) if lines else ""
        return WorkerCrashed(f"the {self.backend} worker {what}{tail}")

    def _stream(self, name: str) -> IO[bytes]:
        stream: IO[bytes] | None = getattr(self._process, name)
        if stream is None:
            raise RuntimeError(f"The worker has no {name}.")
        return stream


def start_process(backend: str, log: Path | None) -> "subprocess.Popen[bytes]":
    """Start the server side with the backend's interpreter."""
    variable = f"POC_{backend.upper()}_PYTHON"
    interpreter = os.environ.get(variable, sys.executable)
    command = [interpreter, "-m", "poc.shared.engine.server", backend]
    # Waiting threads sleep: spinning ones starve each other on a shared machine.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    try:
        if log is None:
            return open_process(command, environment, subprocess.DEVNULL)
        with log.open("ab") as stream:
            return open_process(command, environment, stream)
    except OSError as error:
        raise UsageError(
            f"received {variable}={interpreter!r}, which cannot be started ({error.strerror}); "
            "name a Python interpreter that has poc installed"
        ) from None


def open_process(
    command: list[str], environment: Mapping[str, str], stderr: int | IO[bytes]
) -> "subprocess.Popen[bytes]":
    """A process whose standard input and output carry messages."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=dict(environment)
    )
