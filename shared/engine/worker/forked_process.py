"""A worker's process that this one has not started itself: its template has, and tells its end."""

import os
import select
import signal
import struct
import subprocess
from contextlib import suppress
from typing import IO, Protocol

# A template tells a worker's process number, and later its exit status.
NUMBER = struct.Struct("<i")
# Status of a worker whose template ended before it: nobody can say how it ended.
UNKNOWN_STATUS = 255
SECONDS_BETWEEN_LOOKS = 0.1


class Process(Protocol):
    """The part of `subprocess.Popen` that a worker's handle uses."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""

    def kill(self) -> None:
        """End the process at once."""


class ForkedProcess:
    """A worker that a template has forked; it has the methods of `subprocess.Popen`.

    Args:
        number: Process number.
        requests: Descriptor to write requests to.
        replies: Descriptor to read replies from.
        facts: Descriptor at which the template tells the exit status.
    """

    def __init__(self, number: int, requests: int, replies: int, facts: int) -> None:
        self.pid, self._facts = number, facts
        self.stdin: IO[bytes] | None = os.fdopen(requests, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(replies, "rb")
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative after a signal; None while the process runs."""
        if self._status is None and select.select([self._facts], [], [], 0)[0]:
            self._read_status()
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status.

        Raises:
            subprocess.TimeoutExpired: The process still runs after so many seconds.
        """
        left = timeout
        while self.poll() is None:
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            select.select([self._facts], [], [], SECONDS_BETWEEN_LOOKS)
            left = None if left is None else left - SECONDS_BETWEEN_LOOKS
        return self.poll() or 0

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)

    def _read_status(self) -> None:
        status = read_number(self._facts)
        if status is None and is_running(self.pid):
            # The template is gone, and this descriptor is at its end from now on.
            select.select([], [], [], SECONDS_BETWEEN_LOOKS)
            return
        os.close(self._facts)
        self._status = UNKNOWN_STATUS if status is None else os.waitstatus_to_exitcode(status)


def read_number(descriptor: int) -> int | None:
    """Read one number; None if the other side is gone."""
    content = os.read(descriptor, NUMBER.size)
    return int(NUMBER.unpack(content)[0]) if content else None


def is_running(number: int) -> bool:
    """Tell if a process of this user runs."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
