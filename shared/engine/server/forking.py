"""The template's own side: import one backend, then fork into a worker for each request.

A process may only be forked while no thread of a framework exists, since a copy has the locks of
all threads and none of the threads. So nothing is computed here, and no device is touched.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

from poc.shared.engine.worker.forked_process import NUMBER
from poc.shared.engine.worker.orphan import ORPHAN_STATUS
from poc.shared.engine.worker.template import READY

# Descriptors of a request: standard input, output and errors of the worker, and where to tell its
# end. Others follow, which the worker keeps open.
NUM_OWN, MAX_DESCRIPTORS = 4, 16
MAX_BYTES = 4096
SECONDS_BETWEEN_LOOKS = 0.1
# Modules that a framework imports at the first call that needs them, here that of `prepare`.
LATE_MODULES = {"torch": ("torch._inductor.config",)}
# Files of a machine with a GPU. Forks were never tried on one: its driver may have threads.
ACCELERATORS = ("nvidia[0-9]*", "kfd", "accel*")


class Forks:
    """The running workers of a template: process number -> where to tell its end.

    Args:
        control: Socket of the requests.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control, self._running = control, dict[int, int]()
        self._is_last, self._woken = False, wake_at_ends()

    def wait(self) -> bool:
        """Fork for each request; return True in the worker, and False when no more will come."""
        while self._running or not self._is_last:
            ready = select.select([self._control.fileno(), self._woken], [], [])[0]
            if self._woken in ready:
                os.read(self._woken, MAX_BYTES)
                self.tell_ends()
            if self._control.fileno() in ready:
                request, given, _, _ = socket.recv_fds(self._control, MAX_BYTES, MAX_DESCRIPTORS)
                if not request:
                    return False
                self._is_last = bool(json.loads(request)["is_last"])
                if self.fork(given):
                    return True
        return False

    def fork(self, given: list[int]) -> bool:
        """Fork; return True in the worker, whose descriptors are those of a new process."""
        number = os.fork()
        if number == 0:
            own = [self._control.detach(), self._woken, *self._running.values()]
            become_worker(given, own)
            return True
        facts = given[NUM_OWN - 1]
        for descriptor in given:
            if descriptor != facts:
                os.close(descriptor)
        self._running[number] = facts
        tell(facts, number)
        return False

    def tell_ends(self) -> None:
        """Tell the end of each worker that has ended."""
        for number in list(self._running):
            ended, status = os.waitpid(number, os.WNOHANG)
            if ended:
                facts = self._running.pop(number)
                tell(facts, status)
                os.close(facts)


def serve_forks(name: str) -> bool:
    """Import a backend and fork for each request of standard input, a socket.

    Returns:
        True in a worker, which then serves like one that was started afresh; False at the end.
    """
    control = take_over_control()
    import_backend(name, control)
    if not can_fork():
        return False
    # Kept out of collections: they would copy every page that they mark, in each worker.
    gc.collect()
    gc.freeze()
    # The command is gone if this fails, and `wait` then ends.
    with suppress(OSError):
        control.send(READY)
    return Forks(control).wait()


def take_over_control() -> socket.socket:
    """Take the socket away from standard input, which the worker needs."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return control


def import_backend(name: str, control: socket.socket) -> None:
    """Import everything that a run needs; end this process if its command ends meanwhile."""
    imported = threading.Event()
    watch = threading.Thread(target=end_with_command, args=(control, imported))
    watch.start()
    try:
        from poc.shared.engine.backend import load

        importlib.import_module("poc.shared.engine.server.operations")
        load(name)
        for module in LATE_MODULES.get(name, ()):
            # The framework's own affair: other versions have other modules.
            with suppress(ImportError):
                importlib.import_module(module)
    finally:
        # No thread may be there at a fork.
        imported.set()
        watch.join()


def end_with_command(control: socket.socket, imported: threading.Event) -> None:
    """End this process if the other end of the socket closes before the import is over."""
    poll = select.poll()
    poll.register(control, 0)
    while not imported.wait(SECONDS_BETWEEN_LOOKS):
        if poll.poll(0):
            os._exit(ORPHAN_STATUS)


def can_fork(devices: Path = Path("/dev")) -> bool:
    """Tell if this process may be forked: it has one thread, and the machine has no GPU.

    Threads of OpenBLAS and of memory allocators do not count. Their libraries end them before a
    fork, and start others in the copy.
    """
    has_gpu = any(any(devices.glob(pattern)) for pattern in ACCELERATORS)
    return threading.active_count() == 1 and not has_gpu


def wake_at_ends() -> int:
    """Return a descriptor that can be read when a worker has ended."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Without a handler, Python would not write into the pipe.
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def become_worker(given: list[int], others: list[int]) -> None:
    """Give this new process the descriptors, signals and group of one that was started afresh."""
    waking = signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    for number, descriptor in enumerate(given[: NUM_OWN - 1]):
        os.dup2(descriptor, number)
    for descriptor in {*given[:NUM_OWN], *others, waking}:
        os.close(descriptor)
    for descriptor in given[NUM_OWN:]:
        os.set_inheritable(descriptor, True)


def tell(descriptor: int, number: int) -> None:
    """Tell a number to the command, if it still listens."""
    with suppress(OSError):
        os.write(descriptor, NUMBER.pack(number))
