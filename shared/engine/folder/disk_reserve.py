"""Room on the disk that a run keeps for its last word: on a full one, too, it says how it ended.

The room is a file. Where a write finds no room, the file goes first and the write is tried again:
it stays the atomic write that it is.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from poc.shared.files.whole import write_bytes

# `run.json` is some kilobytes, its error text included.
RESERVE_BYTES = 1 << 17
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def keep_room(path: Path) -> None:
    """Take the room; bytes of chance, which no file system can store in less.

    Raises:
        OSError: There is none.
    """
    write_bytes(path, os.urandom(RESERVE_BYTES))


def give_room(path: Path) -> None:
    """Give the room back, where there is some."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def write_with_room(path: Path, write: Callable[[], None]) -> None:
    """Write; where there is no room for it give the kept room back and write again.

    Raises:
        OSError: Something else refused, or the room was not enough.
    """
    try:
        write()
    except OSError as error:
        if error.errno not in NO_ROOM or not path.exists():
            raise
        give_room(path)
        write()
