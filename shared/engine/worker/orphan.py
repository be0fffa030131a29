"""The end of a worker whose command is gone: it saves its work since the last checkpoint, and ends.

The command holds the other end of the pipe of requests. A thread sees that end close, at once and
on every system, while the main thread trains or a framework traces. (Linux could send a signal
instead, PR_SET_PDEATHSIG; but it does this when the *thread* ends that started the worker, and a
sweep starts its workers from threads.)
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

from .interruption import SIGTERM, has_unsaved_steps

# Saving takes a step and a write; a command that waits for the folder waits a little longer
# (lock.SECONDS_FOR_AN_ORPHAN).
SECONDS_TO_SAVE, SECONDS_TO_END = 25.0, 1.0
SECONDS_BETWEEN_LOOKS = 0.1
# The status that a shell shows for a process that SIGTERM has ended.
ORPHAN_STATUS = 128 + SIGTERM
# `poll` reports these without a request for them.
CLOSED = select.POLLHUP | select.POLLERR | select.POLLNVAL


class OrphanWatch:
    """A watch that ends this process after the other end of its pipe has closed.

    Args:
        descriptor: Descriptor of the pipe; it is polled and never read.
        end: Called if the process has not ended by itself in time.

    Attributes:
        is_busy: True while the main thread answers a request.
        is_orphan: True if the process was asked to stop; its end need not be tidy then.
    """

    def __init__(self, descriptor: int, end: Callable[[int], None] = os._exit) -> None:
        self._descriptor, self._end = descriptor, end
        # An idle main thread reads the end of the pipe and returns by itself.
        self.is_busy = True
        self.is_orphan = False

    def start(self) -> None:
        """Watch from a thread that does not keep the process alive."""
        threading.Thread(target=self.watch, name="orphan watch", daemon=True).start()

    def watch(self) -> None:
        """Wait until the pipe is closed and the main thread is busy; then end the process."""
        wait_until_closed(self._descriptor)
        while not self.is_busy:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.is_orphan = True
        end_orphan(self._end)


def wait_until_closed(descriptor: int) -> None:
    """Wait until nobody can write to a pipe any more, even if it has unread content."""
    poll = select.poll()
    # Registered for no event: unread requests would wake it all the time.
    poll.register(descriptor, 0)
    while not any(events & CLOSED for _, events in poll.poll()):
        pass


def end_orphan(end: Callable[[int], None]) -> None:
    """Ask for a stop as SIGTERM does; if there is nothing to save, ask again, which ends a step.

    Python answers both between two of its operations. If a framework never returns to Python, or
    saving takes too long, the process ends without an answer, and its last checkpoint stays.
    """
    ask()
    has_work = has_unsaved_steps()
    if not has_work:
        ask()
    time.sleep(SECONDS_TO_SAVE if has_work else SECONDS_TO_END)
    end(ORPHAN_STATUS)


def ask() -> None:
    """Send this process a SIGTERM, and wait for its handler: two pending signals count as one."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(SECONDS_BETWEEN_LOOKS)
