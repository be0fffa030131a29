"""One process on one run folder: the lock that a run holds while anything may write there.

The kernel holds the lock (flock) for the open file, which the worker process inherits: it ends when
the last of the two has ended, however they ended, so it cannot be stale. Where the file system has
no such lock, the file `lock` itself is the lock: it names a process and a machine, and it is stale
where that process does not live on this machine.
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

SECONDS_FOR_AN_ORPHAN, SECONDS_BETWEEN_TRIES = 30.0, 0.1
# One that looks whether the lock is held, or has only just taken it, has not said who it is.
SECONDS_FOR_A_STRANGER = 0.5
UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class Owner(TypedDict, total=False):
    """Who holds a lock; empty: nobody has said so."""

    process: int
    machine: str


class LockContent(NamedTuple):
    """What a run's lock file held before it was taken, and when that was written; maybe nothing."""

    text: bytes = b""
    times_ns: tuple[int, int] | None = None

    @classmethod
    def of(cls, folder: Path) -> Self:
        """That of a folder; of one without a lock, nothing."""
        try:
            status = (folder / LOCK).stat()
            return cls((folder / LOCK).read_bytes(), (status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            return cls()

    def put_back(self, descriptor: int) -> None:
        """Leave the file as it was, where there was one: the run that it belongs to stays."""
        if self.times_ns is not None:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, self.text, 0)
                os.utime(descriptor, ns=self.times_ns)


@contextmanager
def hold_lock(folder: Path) -> Iterator[int]:
    """Hold a run folder; gives the descriptor that child processes inherit.

    Raises:
        UsageError: Another process holds it, or the folder takes no file.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(
            f"received the run folder {str(folder)!r}, which takes no file ({error.strerror}); "
            "allowed is one that you may write to: correct its rights or name another"
        ) from None
    try:
        acquire(descriptor, folder)
        # A run that never began takes its lock away with all else that it made.
        if not is_current(descriptor, folder):
            raise refusal(folder, {})
        write_owner(descriptor, {"process": os.getpid(), "machine": socket.gethostname()})
        yield descriptor
        write_owner(descriptor, {})
    finally:
        os.close(descriptor)


def acquire(descriptor: int, folder: Path) -> None:
    """Take the lock; wait a while for the worker of a command that is dead.

    Raises:
        UsageError: Another process holds it.
    """
    started = time.monotonic()
    try:
        while not try_lock(descriptor):
            owner = read_owner(descriptor)
            # The worker of a command that was killed notices it at its next report.
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
        owner = read_owner(descriptor)
        if owner and not is_stale(owner):
            raise refusal(folder, owner) from None


def try_lock(descriptor: int) -> bool:
    """Whether the kernel gave the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(folder: Path) -> bool:
    """Whether a process holds the run folder, as far as this machine can tell.

    The lock is taken for a moment where it is free.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        owner = read_owner(descriptor)
        return bool(owner) and not is_stale(owner)
    finally:
        os.close(descriptor)
    return False


def is_current(descriptor: int, folder: Path) -> bool:
    """Whether the open file is still the one that stands in the folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), (folder / LOCK).stat())
    except OSError:
        return False


def is_stale(owner: Owner) -> bool:
    """Whether the owner is a process of this machine that has ended."""
    if owner.get("machine") != socket.gethostname():
        return False
    try:
        os.kill(int(owner.get("process", 0)) or os.getpid(), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return owner.get("process") == os.getpid()


def read_owner(descriptor: int) -> Owner:
    """What the file says; empty: nobody, or no longer readable."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return cast(Owner, owner) if isinstance(owner, dict) else {}


def write_owner(descriptor: int, owner: Owner) -> None:
    """Say who holds the lock; a full disk does not matter, since the kernel knows."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode() if owner else b"", 0)


def refusal(folder: Path, owner: Owner) -> UsageError:
    """The error of a folder that is held."""
    who = f"process {owner['process']} on {owner['machine']}" if "process" in owner else "a process"
    return UsageError(
        f"received the run folder {str(folder)!r}, which {who} holds; allowed is one process a "
        f"folder: wait for it, or, if it has ended on another machine, delete {LOCK!r} there"
    )
