"""A limit on the time of a cell: its worker is killed when the time is over."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from poc.shared.engine.worker.interruption import LIVE

# A worker that starts just when the time ends is killed a little later.
AGAIN_SECONDS = 0.2


class TimeLimit:
    """Kills the workers of this process once its time is over."""

    def __init__(self) -> None:
        self.is_over = False
        self._has_ended = threading.Event()

    def watch(self, seconds: float) -> None:
        """Wait for the end of the block or of the time; then kill until the block ends."""
        wait = seconds
        while not self._has_ended.wait(wait):
            self.is_over, wait = True, AGAIN_SECONDS
            for worker in list(LIVE):
                worker.interrupt(signal.SIGKILL)

    def end(self) -> None:
        """End the limit."""
        self._has_ended.set()


@contextmanager
def limited(seconds: float) -> Iterator[TimeLimit]:
    """Limit the workers that the block starts to so many seconds."""
    limit = TimeLimit()
    thread = threading.Thread(target=limit.watch, args=(seconds,), daemon=True)
    thread.start()
    try:
        yield limit
    finally:
        limit.end()
        thread.join()
