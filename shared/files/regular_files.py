"""Files that hold data: regular ones only, and what tells one state of a file from another."""

import os
import stat
from pathlib import Path

# Size, time of change, time of the last change of anything about the file, and inode.
Stamp = tuple[int, ...]
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_regular(path: Path) -> tuple[bytes, Stamp]:
    """A file's bytes, and the stamp that it had before they were read.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no regular file: a pipe would be waited for, a device may never end.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"it is {KINDS.get(kind, 'something else')} and no regular file")
    with path.open("rb") as stream:
        stamp = stamp_facts(os.fstat(stream.fileno()))
        return stream.read(), stamp


def take_stamp(path: Path) -> Stamp:
    """The file's stamp as it is now; empty where there is none."""
    try:
        return stamp_facts(path.stat())
    except OSError:
        return ()


def stamp_facts(facts: os.stat_result) -> Stamp:
    """What changes whenever a file's content does.

    Size and time alone stay the same where a tool sets the old time (tar, rsync); the time of the
    last change cannot be set, and another file in its place has another inode.
    """
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
