"""The reservation of a run's folder: if the run never begins, the folder is restored.

A run has begun when its worker has written `run.json`. Until then a former run's files stay, and
an event that ends the start (wrong weights, no data, a signal) leaves nothing behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from poc.shared.engine.worker.handle import WorkerCrashed

from .lock import LockContent, hold_lock
from .own_files import find_halves
from .run_folder import LOCK, RunFolder

# Name of a former run's log until the new run begins. The worker opens its own log earlier.
FORMER_LOG = ".worker.log.former"


@contextmanager
def starting(path: Path, *, overwrite: bool) -> Iterator[tuple[RunFolder, int]]:
    """Reserve the folder, and yield it with the descriptor of its lock.

    Raises:
        UsageError: The folder has content and `overwrite` is false, it cannot be made, or
            another process holds it.
    """
    # Listed before anything is made, so that a refused start removes no folder of the user.
    folder, missing = RunFolder(path), missing_folders(path)
    try:
        RunFolder.reserve(path, overwrite=overwrite)
        # Read before the lock is taken, which writes into its file.
        found, former_lock = set(path.iterdir()), LockContent.of(path)
        with hold_lock(path) as lock:
            former = stamp(folder)
            try:
                with log_of_its_own(folder):
                    yield folder, lock
            finally:
                if stamp(folder) == former:
                    give_back(folder, found)
                    former_lock.put_back(lock)
    finally:
        for made in missing:
            # `rmdir` fails for a folder with content, which then stays.
            with suppress(OSError):
                made.rmdir()


def missing_folders(path: Path) -> list[Path]:
    """Return the folder and its parents that do not exist yet, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def stamp(folder: RunFolder) -> tuple[int, int] | None:
    """Return a value that changes when `run.json` is replaced; None if there is no such file."""
    # An atomic write gives a new file a new inode, even within one tick of the clock.
    with suppress(OSError):
        status = (folder.path / "run.json").stat()
        return status.st_ino, status.st_mtime_ns
    return None


@contextmanager
def log_of_its_own(folder: RunFolder) -> Iterator[None]:
    """Move an older log away; if no run begins, put it back and remove the new one.

    The log of a worker that crashed stays if there is no former run: nothing else shows the reason.
    """
    former, aside, is_crashed = stamp(folder), folder.path / FORMER_LOG, False
    with suppress(OSError):
        folder.log.replace(aside)
    try:
        yield
    except WorkerCrashed:
        is_crashed = True
        raise
    finally:
        with suppress(OSError):
            if stamp(folder) != former or (is_crashed and former is None):
                aside.unlink(missing_ok=True)
            elif aside.exists():
                aside.replace(folder.log)
            else:
                folder.log.unlink(missing_ok=True)


def give_back(folder: RunFolder, found: set[Path]) -> None:
    """Remove the files that a start has added to those found before it, except its log."""
    # Named one by one: other programs may have written into the folder meanwhile.
    for path in {folder.path / LOCK, folder.room, *find_halves(folder.path)} - found:
        with suppress(OSError):
            path.unlink()
    if folder.checkpoints not in found:
        with suppress(OSError):
            folder.checkpoints.rmdir()
