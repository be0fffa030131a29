"""A worker whose command is gone: it saves what it has done since its last checkpoint, and ends.

The command holds the other end of the line on which requests come. A thread sees that end close, at
once and on every system, while the main thread trains or a framework traces. (Linux could send a
signal instead, PR_SET_PDEATHSIG; but it does so when the *thread* ends that started the worker, and
a sweep starts its workers from threads.)
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

from .interruption import SIGTERM, has_unsaved_steps

# Saving takes a step and a write; a command that waits for the folder waits a little longer
# (run_lock.SECONDS_FOR_AN_ORPHAN).
SECONDS_TO_SAVE, SECONDS_TO_END = 25.0, 1.0
SECONDS_BETWEEN_LOOKS = 0.1
ORPHAN_STATUS = 128 + SIGTERM
# `poll` gives it without being asked, as it gives errors.
CLOSED = select.POLLHUP | select.POLLERR | select.POLLNVAL


class OrphanWatch:
    """Ends this process after the other end of its line has closed.

    Args:
        descriptor: Of the line; only looked at, never read.
        end: Called where the process has not ended by itself in time.

    Attributes:
        is_busy: Whether the main thread answers a request.
        is_orphan: Whether it was told to stop: what is left of its end need not be tidy.
    """

    def __init__(self, descriptor: int, end: Callable[[int], None] = os._exit) -> None:
        self._descriptor, self._end = descriptor, end
        # Idle, the main thread reads the end of the line and returns by itself.
        self.is_busy = True
        self.is_orphan = False

    def start(self) -> None:
        """Watch from a thread that does not keep the process alive."""
        threading.Thread(target=self.watch, name="orphan watch", daemon=True).start()

    def watch(self) -> None:
        """Wait for the line to close and for something to end; then end it."""
        wait_until_closed(self._descriptor)
        while not self.is_busy:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.is_orphan = True
        end_orphan(self._end)


def wait_until_closed(descriptor: int) -> None:
    """Wait until nobody can write to a pipe any more, whatever stands in it unread."""
    poll = select.poll()
    poll.register(descriptor, 0)
    while not any(events & CLOSED for _, events in poll.poll()):
        pass


def end_orphan(end: Callable[[int], None]) -> None:
    """Ask as SIGTERM does; where nothing could be saved ask again, which ends a step as well.

    Both are answered between two operations of Python. Where a framework never comes back to it,
    or saving takes too long, the process ends without: its last checkpoint stays.
    """
    ask()
    has_work = has_unsaved_steps()
    if not has_work:
        ask()
    time.sleep(SECONDS_TO_SAVE if has_work else SECONDS_TO_END)
    end(ORPHAN_STATUS)


def ask() -> None:
    """Send this process a SIGTERM, and give its handler a moment: two that wait count as one."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(SECONDS_BETWEEN_LOOKS)
