"""Reading what a process writes, without waiting for ever for one that is gone.

The end of a pipe only shows when every process that inherited it has ended; a worker's own children
may outlive it. So the process is looked at as well.
"""

import os
import select
import subprocess
from collections.abc import Callable

SECONDS_BETWEEN_LOOKS = 0.5


class ProcessOutput:
    """Standard output of a process, read with a look at whether the process lives.

    Args:
        process: Its standard output is a pipe.
        on_interrupt: Called on Ctrl-C where no handler takes it; the wait goes on.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", on_interrupt: Callable[[], None]
    ) -> None:
        if process.stdout is None:
            raise RuntimeError("The process has no standard output.")
        self._process, self._descriptor = process, process.stdout.fileno()
        self._on_interrupt, self._kept = on_interrupt, bytearray()

    def read(self, count: int) -> bytes:
        """`count` bytes, or fewer where the process ended before."""
        while len(self._kept) < count and self._wait():
            piece = os.read(self._descriptor, max(count - len(self._kept), 1 << 16))
            if not piece:
                break
            self._kept += piece
        content = bytes(self._kept[:count])
        del self._kept[:count]
        return content

    def _wait(self) -> bool:
        """Whether there is something to read, now or at some time."""
        while True:
            # Asked first: what it wrote before it ended is then there to be read.
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
