"""The folder of a run that is to begin: held for it, and given back as it was if it never does.

A run has begun when its worker has written `run.json`. Until then a former run's files stand, and
whatever ends the start (wrong weights, no data, a signal) leaves nothing behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from poc.shared.engine.worker.handle import WorkerCrashed

from .lock import LockContent, hold_lock
from .run_folder import LOCK, RunFolder

# Where a former run's log waits.
FORMER_LOG = ".worker.log.former"


@contextmanager
def starting(path: Path, *, overwrite: bool) -> Iterator[tuple[RunFolder, int]]:
    """The folder and its lock.

    Raises:
        UsageError: The folder holds something and `overwrite` is false, it cannot be made, or
            another process holds it.
    """
    folder, missing = RunFolder(path), missing_folders(path)
    try:
        RunFolder.reserve(path, overwrite=overwrite)
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
            # Only where it is empty.
            with suppress(OSError):
                made.rmdir()


def missing_folders(path: Path) -> list[Path]:
    """The folder and those above it that are still to be made, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def stamp(folder: RunFolder) -> tuple[int, int] | None:
    """Changes when `run.json` is replaced; none: there is none."""
    with suppress(OSError):
        status = (folder.path / "run.json").stat()
        return status.st_ino, status.st_mtime_ns
    return None


@contextmanager
def log_of_its_own(folder: RunFolder) -> Iterator[None]:
    """Keep an older log aside; where no run begins it comes back, and the new one goes.

    The log of a worker that crashed stays, where no former run has one: it is all that tells why.
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
    """Remove what a start has put beside what was found, but for its log."""
    for path in {folder.path / LOCK, *folder.path.glob(".run.json.*")} - found:
        with suppress(OSError):
            path.unlink()
    if folder.checkpoints not in found:
        with suppress(OSError):
            folder.checkpoints.rmdir()
