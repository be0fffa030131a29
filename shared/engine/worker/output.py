"""A reader of a process's output that does not wait for ever for a process that is gone.

A pipe only ends when every process that inherited it has ended, and a worker's own children may
outlive it. So the reader also looks at the process.
"""

import os
import select
from collections.abc import Callable

from .forked_process import Process

SECONDS_BETWEEN_LOOKS = 0.5


class ProcessOutput:
    """Standard output of a process, read as long as the process lives.

    Args:
        process: Process whose standard output is a pipe.
        on_interrupt: Called on Ctrl-C if no handler takes it; the wait goes on.
    """

    def __init__(self, process: Process, on_interrupt: Callable[[], None]) -> None:
        if process.stdout is None:
            raise RuntimeError("Got a process without standard output. Expected a pipe.")
        self._process, self._descriptor = process, process.stdout.fileno()
        self._on_interrupt, self._kept = on_interrupt, bytearray()

    def read(self, count: int) -> bytes:
        """Read `count` bytes, or fewer if the process ended before."""
        while len(self._kept) < count and self._wait():
            # At least 64 KiB, the size of a pipe on Linux, so that arrays take few system calls.
            piece = os.read(self._descriptor, max(count - len(self._kept), 1 << 16))
            if not piece:
                break
            self._kept += piece
        content = bytes(self._kept[:count])
        del self._kept[:count]
        return content

    def _wait(self) -> bool:
        """Wait for output; return False if there will be none."""
        while True:
            # Checked before the pipe: all that a process wrote before it ended can then be read.
            has_ended = self._process.poll() is not None
            seconds = 0 if has_ended else SECONDS_BETWEEN_LOOKS
            try:
                is_ready = select.select([self._descriptor], [], [], seconds)[0]
            except KeyboardInterrupt:
                self._on_interrupt()
                continue
            if is_ready:
                return True
            if has_ended:
                return False
