"""A limit on the time of a cell: its worker is killed when the time is over.

The limit is kept by the process that starts the worker, so that it works on any node of a cluster.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from poc.shared.engine.launch.sweep import Row, Task, record_failure, run_cell
from poc.shared.engine.launch.sweep_definition import Watch
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.engine.worker.template import template_seconds
from poc.shared.errors import Interrupted

from .jobs import STOPPED

# A worker that starts just when the time ends is killed a little later.
AGAIN_SECONDS = 0.2


class TimeLimit:
    """Kills the workers of this process once its time is over.

    Args:
        seconds: The time.
        count_free: Gives the seconds since the beginning that the limit does not count.
    """

    def __init__(self, seconds: float, count_free: Callable[[], float]) -> None:
        self.is_over = False
        self._has_ended = threading.Event()
        self._end, self._count_free = time.monotonic() + seconds, count_free

    def watch(self) -> None:
        """Wait for the end of the block or of the time; then kill until the block ends."""
        while not self._has_ended.wait(max(self._left(), AGAIN_SECONDS if self.is_over else 0.0)):
            # Seconds that do not count may have come on top meanwhile.
            if self._left() <= 0.0:
                self.is_over = True
                for worker in list(LIVE):
                    worker.interrupt(signal.SIGKILL)

    def _left(self) -> float:
        return self._end + self._count_free() - time.monotonic()

    def end(self) -> None:
        """End the limit."""
        self._has_ended.set()


@contextmanager
def limited(seconds: float, count_free: Callable[[], float] = lambda: 0.0) -> Iterator[TimeLimit]:
    """Limit the workers that the block starts to so many seconds.

    Args:
        seconds: The time.
        count_free: Gives the seconds since the beginning that the limit does not count.
    """
    limit = TimeLimit(seconds, count_free)
    thread = threading.Thread(target=limit.watch, daemon=True)
    thread.start()
    try:
        yield limit
    finally:
        limit.end()
        thread.join()


def run_limited(
    task: Task, *, seconds: float, is_free: bool, watch: Watch = lambda cell, event: None
) -> Row:
    """Train a cell, or continue it; stop it when its time is over.

    Args:
        task: The cell.
        seconds: Its time.
        is_free: The import of a framework does not count: only its first cell pays for it.
        watch: Called with the cell's name and an event of its training.

    Returns:
        The cell's row, whose status is "stopped" if the time was too short.
    """
    former = template_seconds()
    with limited(seconds, lambda: template_seconds() - former if is_free else 0.0) as limit:
        try:
            return run_cell(task, watch=watch)
        except Interrupted:
            if not limit.is_over:
                raise
    return record_failure(task, f"{STOPPED} {seconds:.0f} s") | {"status": "stopped"}
