"""A worker: one process with one backend, and the handle to call it.

TensorFlow and torchvision cannot share a process, and two frameworks in one would share threads
and memory. The interpreter is the running one, or the one that POC_TF_PYTHON or POC_TORCH_PYTHON
names: on a GPU each framework needs an environment of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self, cast

from poc.shared.engine.console.verbosity import is_verbose
from poc.shared.engine.console.work_count import Event, Report
from poc.shared.errors import CheckFailed, Interrupted, Terminated, UsageError

from .forked_process import Process
from .interruption import LIVE, interruption_error, refuse_after_signal
from .log_echo import LogEcho
from .messages import receive, send
from .operations import Found, Given, Operation
from .output import ProcessOutput
from .template import Start, fork_worker

# Lines of a log that a message repeats: enough for the end of a traceback.
LOG_LINES = 15
# The first two signals ask the worker to stop; the next one ends it.
SIGNALS_BEFORE_KILL = 2


class WorkerCrashed(RuntimeError):  # noqa: N818 - the words that a user would say
    """The death of a worker or an unforeseen error in it; the message has its last log lines."""


class Worker:
    """Handle of a worker process; use as a context manager.

    Args:
        backend: `tf` or `torch`.
        log: File for the output of the process; None to discard it, also on a crash.
        report: Called with every event that an operation sends (progress).
        inherited: Descriptors that the process keeps open, such as the lock of its run folder.
        variables: Environment variables that it gets in addition.
    """

    def __init__(
        self,
        backend: str,
        *,
        log: Path | None = None,
        report: Report | None = None,
        inherited: Sequence[int] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._echo = LogEcho(backend, log) if is_verbose() else None
        self.backend, self._log = backend, self._echo.path if self._echo else log
        self._report = report or (lambda event: None)
        self._signals: list[int] = []
        # A signal between two workers would find no process to stop.
        refuse_after_signal()
        try:
            self._process = start_process(backend, self._log, inherited, variables)
        except UsageError:
            self._end_echo()
            raise
        if self._echo:
            self._echo.start(find_interpreter(backend), self._process.pid)
        self._output = ProcessOutput(self._process, lambda: self.interrupt(signal.SIGINT))
        LIVE.add(self)
        # The worker answers once when its framework is imported; that may fail or be interrupted.
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

    def call(
        self, operation: Operation[Given, Found], *nothing: Given.args, **arguments: Given.kwargs
    ) -> Found:
        """Run one operation, such as `Operations.logits`, in the worker.

        Args:
            operation: Operation to run.
            nothing: Arguments by position, which are refused.
            arguments: Arguments of the operation, by name; arrays keep their shapes.

        Raises:
            UsageError, CheckFailed, Interrupted, Terminated: The operation raised it.
            WorkerCrashed: The operation raised another error, or the process died.
        """
        if nothing:
            raise TypeError(
                f"Got {len(nothing)} arguments by position. Expected names. Try naming each one."
            )
        request = {"operation": operation.__name__, "arguments": arguments}
        try:
            send(self._stream("stdin"), request)
        except BrokenPipeError:
            raise self._died() from None
        # The cast is safe: mypy checks the server's operations against the same declarations.
        return cast(Found, self._receive())

    def interrupt(self, number: int) -> None:
        """Pass a signal on, since a worker in its own process group gets none from the terminal."""
        self._signals.append(number)
        is_last = len(self._signals) > SIGNALS_BEFORE_KILL
        self._process.send_signal(signal.SIGKILL if is_last else number)

    def kill(self) -> None:
        """End the process at once, from any thread; its call then raises `WorkerCrashed`."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End the process: close its line of requests, and kill it if it does not end."""
        with suppress(BrokenPipeError):
            self._stream("stdin").close()
        try:
            # Ten seconds, since a framework takes some to end: processes, threads, a device.
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stream("stdout").close()
        LIVE.discard(self)
        self._end_echo()

    def _end_echo(self) -> None:
        if self._echo:
            self._echo.close()

    def _receive(self) -> object:
        """Wait for the answer, and report events that come before it."""
        while True:
            try:
                message = receive(self._output)
            except EOFError:
                raise self._died() from None
            if "event" in message:
                self._report(cast(Event, message))
            elif "error" in message:
                raise self._raised(**message["error"])
            else:
                return message["result"]

    def _died(self) -> BaseException:
        """Make the exception about a process that has ended."""
        status = self._process.wait()
        # Processes that read its data may still run in its group, and would wait for ever.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._signals:
            return interruption_error(self._signals[-1], "the worker was stopped by a signal")
        return self._crash(f"died with exit status {status}")

    def _raised(self, kind: str, message: str) -> BaseException:
        """Make the exception that corresponds to an error in the worker."""
        if kind == "crash":
            return self._crash(f"raised {message}")
        kinds: dict[str, type[BaseException]] = {
            "usage": UsageError,
            "check": CheckFailed,
            "interrupted": Interrupted,
            "terminated": Terminated,
        }
        return kinds[kind](message)

    def _crash(self, what: str) -> WorkerCrashed:
        # Foreign bytes are replaced: a crash may end a line in the middle of a character.
        lines = []
        if self._log and self._log.exists():
            lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        tail = "\n  ".join(["", *lines]) if lines else ""
        return WorkerCrashed(f"the {self.backend} worker {what}{tail}")

    def _stream(self, name: str) -> IO[bytes]:
        stream: IO[bytes] | None = getattr(self._process, name)
        if stream is None:
            raise RuntimeError(f"Got a worker without {name}. Expected a pipe.")
        return stream


def variable_of(backend: str) -> str:
    """Return the environment variable that names a backend's interpreter."""
    return f"POC_{backend.upper()}_PYTHON"


def find_interpreter(backend: str) -> str:
    """Return the interpreter that runs a backend's processes."""
    return os.environ.get(variable_of(backend), sys.executable)


def start_process(
    backend: str,
    log: Path | None,
    inherited: Sequence[int] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    """Start the server of a backend with its interpreter; append its output to the log.

    In a block of `warm_starts`, it is forked from a template where that is as good.
    """
    interpreter = find_interpreter(backend)
    # -P: without it, a file of the user's folder, such as `random.py`, would be imported and run.
    command = [interpreter, "-P", "-m", "poc.shared.engine.server", backend]
    # TensorFlow's levels: 0 prints everything, 2 only errors. A value of the user's shell wins.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "0" if is_verbose() else "2", **os.environ, **variables}
    start = Start(command, environment)
    try:
        if log is None:
            return open_process(backend, start, subprocess.DEVNULL, inherited)
        with log.open("ab") as stream:
            return open_process(backend, start, stream, inherited)
    except OSError as error:
        raise UsageError(
            f"Got {variable_of(backend)}={interpreter!r}, which cannot be started "
            f"({error.strerror}). Expected a Python interpreter that has poc installed. "
            "Try naming one."
        ) from None


def open_process(
    backend: str, start: Start, stderr: int | IO[bytes], inherited: Sequence[int]
) -> Process:
    """Start a process whose standard input and output carry messages.

    It has a process group of its own. Otherwise Ctrl-C in a terminal would end it before it can
    save.
    """
    if forked := fork_worker(backend, start, stderr, inherited):
        return forked
    # A signal may have come while a template was started.
    refuse_after_signal()
    return subprocess.Popen(
        start.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=dict(start.environment),
        process_group=0,
        pass_fds=tuple(inherited),
    )
