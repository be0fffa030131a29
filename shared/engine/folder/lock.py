"""The lock of a run folder: it lets one command and its worker write there, and nobody else.

The kernel holds the lock (flock) for the open file, which the worker process inherits. It ends when
both processes have ended, in whatever way, so it cannot be stale. On a file system without such
locks, the content of the file `lock` is the lock: it names a process and a machine, and it is stale
if that machine is this one and the process has ended.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self, TypedDict, cast

from poc.shared.errors import UsageError

from .run_folder import LOCK

# A worker whose command was killed may take 25 s to save (orphan.SECONDS_TO_SAVE); a new command
# waits a little longer for it.
SECONDS_FOR_AN_ORPHAN, SECONDS_BETWEEN_TRIES = 30.0, 0.1
# A process that only tests the lock, or has just taken it, has not written its name yet. This is
# long enough for either to go on.
SECONDS_FOR_A_STRANGER = 0.5
# Errors of `flock` on file systems that have no such locks, such as some network shares.
UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class Owner(TypedDict, total=False):
    """The process that holds a lock; empty if the file names none."""

    process: int
    machine: str


class LockContent(NamedTuple):
    """Former content and times of a run's lock file; the times are None if there was no file."""

    text: bytes = b""
    times_ns: tuple[int, int] | None = None

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the lock file of a folder; return an empty content if there is none."""
        try:
            status = (folder / LOCK).stat()
            return cls((folder / LOCK).read_bytes(), (status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            return cls()

    def put_back(self, descriptor: int) -> None:
        """Restore the file if there was one, for the run that it belongs to."""
        # Its times too: a start that was refused leaves a folder that no tool sees as changed.
        if self.times_ns is not None:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, self.text, 0)
                os.utime(descriptor, ns=self.times_ns)


@contextmanager
def hold_lock(folder: Path) -> Iterator[int]:
    """Hold a run folder, and yield the descriptor that child processes inherit.

    Raises:
        UsageError: Another process holds it, or the lock file could not be made.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(
            f"Got the run folder {str(folder)!r}, which takes no file ({error.strerror}). "
            "Expected one that you may write to. Try correcting its rights or naming another."
        ) from None
    try:
        acquire(descriptor, folder)
        # A start that was refused removes its lock file. This process may have opened that file
        # before, and would hold a lock that nobody else can see.
        if not is_current(descriptor, folder):
            raise refusal(folder, {})
        write_owner(descriptor, {"process": os.getpid(), "machine": socket.gethostname()})
        yield descriptor
        write_owner(descriptor, {})
    finally:
        os.close(descriptor)


def acquire(descriptor: int, folder: Path) -> None:
    """Take the lock; wait some time if it belongs to the worker of a dead command.

    Raises:
        UsageError: Another process holds it.
    """
    started = time.monotonic()
    try:
        while not try_lock(descriptor):
            owner = read_owner(descriptor)
            # The worker of a command that was killed saves and ends by itself: see orphan.py.
            is_dead = is_stale(owner) and owner["process"] != os.getpid()
            patience = (
                SECONDS_FOR_AN_ORPHAN if is_dead else 0.0 if owner else SECONDS_FOR_A_STRANGER
            )
            if time.monotonic() - started > patience:
                raise refusal(folder, owner)
            time.sleep(SECONDS_BETWEEN_TRIES)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        # Without kernel locks the content decides. Two processes here at once would both go on.
        owner = read_owner(descriptor)
        if owner and not is_stale(owner):
            raise refusal(folder, owner) from None


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free; return False if it is not."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(folder: Path) -> bool:
    """Tell if a process holds the run folder, as far as this machine can find out.

    If the lock is free, this process takes it for a moment.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, so that several readers who ask at once do not take each other for a run.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        owner = read_owner(descriptor)
        return bool(owner) and not is_stale(owner)
    finally:
        os.close(descriptor)
    return False


def is_abandoned(folder: Path) -> bool:
    """Tell if no process holds the run folder, nor one of another machine, as far as is known."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return True
    try:
        # A shared folder may not show the locks of other machines.
        machine = read_owner(descriptor).get("machine", socket.gethostname())
    finally:
        os.close(descriptor)
    return machine == socket.gethostname() and not is_held(folder)


def is_current(descriptor: int, folder: Path) -> bool:
    """Tell if the open file is still the one in the folder, not a deleted one."""
    try:
        return os.path.samestat(os.fstat(descriptor), (folder / LOCK).stat())
    except OSError:
        return False


def is_stale(owner: Owner) -> bool:
    """Tell if the owner is a process of this machine that has ended."""
    # Processes of other machines cannot be looked up: they count as alive.
    if owner.get("machine") != socket.gethostname():
        return False
    try:
        os.kill(int(owner.get("process", 0)) or os.getpid(), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    # This process asks since it does not hold the lock, so the entry is a remainder: its own, or
    # that of a dead process with the same number.
    return owner.get("process") == os.getpid()


def read_owner(descriptor: int) -> Owner:
    """Read the owner from the lock file; empty if it names none or is unreadable."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return cast(Owner, owner) if isinstance(owner, dict) else {}


def write_owner(descriptor: int, owner: Owner) -> None:
    """Write the owner; a full disk does no harm, since the kernel holds the lock."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode() if owner else b"", 0)


def refusal(folder: Path, owner: Owner) -> UsageError:
    """Make the error about a folder that another process holds."""
    who = f"process {owner['process']} on {owner['machine']}" if "process" in owner else "a process"
    return UsageError(
        f"Got the run folder {str(folder)!r}, which {who} holds. Expected one process per folder. "
        f"Try waiting for it, or, if it has ended on another machine, delete {LOCK!r} there."
    )
