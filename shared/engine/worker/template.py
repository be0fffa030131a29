"""Templates: processes that have imported a framework, and fork into workers.

An import takes seconds, and every cell of a sweep needs a process of its own. A template imports
once. Each worker is a copy of it in the state right after the import, in which no operation has run
and no pool of threads has begun. So a worker computes what one that was started afresh does.

A worker is started afresh if its environment, folder or interpreter is not the template's, or if
the template cannot fork (`server/forking.py` says when).
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .forked_process import ForkedProcess, read_number
from .interruption import refuse_after_signal

# The answer of a template that can fork.
READY = b"ready"
SECONDS_BETWEEN_LOOKS = 0.1
# A process takes a moment to end, and has nothing to save.
SECONDS_TO_END = 5.0
# Templates of this process, in a block of `warm_starts`; a list, since blocks may be nested.
# Global, since a sweep starts its workers from threads.
CURRENT: "list[Templates]" = []


@dataclass(frozen=True)
class Start:
    """Everything that must be equal for a fork to be as good as a new process.

    Attributes:
        command: Interpreter and arguments.
        environment: All its variables.
        folder: Folder that it works in.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str = field(default_factory=os.getcwd)


class Template:
    """Handle of one template's process.

    Args:
        start: Command, environment and folder, which its workers inherit.
    """

    def __init__(self, start: Start) -> None:
        self.start_of_it = start
        # Packets, so that a request is never read in part. The process sees this end close, in
        # whatever way this process ends.
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                start.command,
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(start.environment),
                process_group=0,
            )

    def wait_until_ready(self) -> bool:
        """Wait for the import; return False if there will be no forks.

        Raises:
            Interrupted, Terminated: A signal came meanwhile.
        """
        while not select.select([self._control], [], [], SECONDS_BETWEEN_LOOKS)[0]:
            refuse_after_signal()
        with suppress(OSError):
            return self._control.recv(len(READY)) == READY
        return False

    def fork(
        self, errors: int, inherited: Sequence[int] = (), *, is_last: bool = False
    ) -> ForkedProcess | None:
        """Make a worker; return None if the template has ended.

        Args:
            errors: Descriptor for its output.
            inherited: Descriptors that it keeps open.
            is_last: True: the template ends when this worker and all others have ended.
        """
        requests, replies, facts = os.pipe(), os.pipe(), os.pipe()
        given = [requests[0], replies[1], errors, facts[1], *inherited]
        kept = [requests[1], replies[0], facts[0]]
        try:
            request = json.dumps({"is_last": is_last}).encode()
            with suppress(OSError):
                socket.send_fds(self._control, [request], given)
        finally:
            for descriptor in (requests[0], replies[1], facts[1]):
                os.close(descriptor)
        number = read_number(facts[0])
        if number is None:
            for descriptor in kept:
                os.close(descriptor)
            return None
        return ForkedProcess(number, *kept)

    def close(self) -> None:
        """End the process; its workers have ended, or end by themselves."""
        self._control.close()
        try:
            self._process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Templates:
    """Templates of the backends that will start more than one worker.

    Args:
        expected: Backend -> number of workers that it will start. The last one ends the template.
    """

    def __init__(self, expected: Mapping[str, int]) -> None:
        self._left = dict(expected)
        self._locks = {backend: threading.Lock() for backend in expected}
        self._made: dict[str, Template] = {}
        # Backends whose template cannot fork; it would refuse again.
        self._refused: set[str] = set()
        self._seconds = 0.0
        # Backend -> monotonic seconds at which its template was started, until it is ready.
        self._starting: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Return the time that templates have taken to start, up to this moment."""
        now = time.monotonic()
        return self._seconds + sum(now - began for began in list(self._starting.values()))

    def fork(
        self, backend: str, start: Start, errors: int, inherited: Sequence[int]
    ) -> ForkedProcess | None:
        """Make a worker from the backend's template; return None if it must be started afresh."""
        if backend not in self._locks:
            return None
        with self._locks[backend]:
            self._left[backend] -= 1
            template = self._find(backend, start)
            if template is None or template.start_of_it != start:
                return None
            process = template.fork(errors, inherited, is_last=self._left[backend] <= 0)
            if process is None:
                # Somebody has killed it: the next worker makes another one.
                self._made.pop(backend).close()
            return process

    def close(self) -> None:
        """End all templates."""
        for template in self._made.values():
            template.close()
        self._made.clear()

    def _find(self, backend: str, start: Start) -> Template | None:
        """Return the backend's template; start it if more workers than this one will come."""
        if backend in self._made or backend in self._refused:
            return self._made.get(backend)
        if self._left[backend] <= 0:
            return None
        self._starting[backend] = time.monotonic()
        template = Template(start)
        try:
            is_ready = template.wait_until_ready()
        except BaseException:
            template.close()
            raise
        finally:
            # In this order, so that no other thread reads less than before.
            self._seconds += time.monotonic() - self._starting[backend]
            del self._starting[backend]
        if not is_ready:
            template.close()
            self._refused.add(backend)
            return None
        self._made[backend] = template
        return template


@contextmanager
def warm_starts(expected: Mapping[str, int]) -> Iterator[None]:
    """Fork the workers of this process from templates during the block.

    Args:
        expected: Backend -> number of workers that the block will start.
    """
    templates = Templates(expected)
    CURRENT.append(templates)
    try:
        yield
    finally:
        CURRENT.remove(templates)
        templates.close()


def template_seconds() -> float:
    """Return the time that the templates of the present block have taken to start; 0 without."""
    return CURRENT[-1].seconds if CURRENT else 0.0


def fork_worker(
    backend: str, start: Start, errors: int | IO[bytes], inherited: Sequence[int]
) -> ForkedProcess | None:
    """Fork a worker; return None outside of a block, or where it must be started afresh."""
    # Other systems cannot fork a process whose libraries have begun to work. The block of another
    # thread may just have ended.
    current = CURRENT[-1:] if sys.platform == "linux" else []
    if not current:
        return None
    if not isinstance(errors, int):
        return current[0].fork(backend, start, errors.fileno(), inherited)
    with Path(os.devnull).open("wb") as null:
        return current[0].fork(backend, start, null.fileno(), inherited)
