"""Reserved disk space, so that a run can record how it ended even when the disk is full.

The reserve is a file. If a write finds no space, the file is removed and the write repeated, so
that the write stays atomic.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from poc.shared.files.whole import write_bytes

# 128 KiB: `run.json` takes some kilobytes, with its error text.
RESERVE_BYTES = 1 << 17
# A quota that is used up gives an error of its own.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def keep_room(path: Path) -> None:
    """Reserve the space.

    Raises:
        OSError: There is no space.
    """
    # Random bytes, since a file system may compress others or store zeros as a hole.
    write_bytes(path, os.urandom(RESERVE_BYTES))


def give_room(path: Path) -> None:
    """Release the space, if it is reserved."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def write_with_room(path: Path, write: Callable[[], None]) -> None:
    """Write; if the disk is full, release the reserved space and write again.

    Raises:
        OSError: The write failed for another reason, or the reserved space was not enough.
    """
    try:
        write()
    except OSError as error:
        if error.errno not in NO_ROOM or not path.exists():
            raise
        give_room(path)
        write()
