"""Reads of regular files only, and stamps that tell one state of a file from another."""

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


class UnfitFile(ValueError):  # noqa: N818 - the words that a user would say
    """The reason why a file is not taken, in plain words."""


def read_regular(path: Path) -> tuple[bytes, Stamp]:
    """Read a file's bytes, and the stamp that it had before they were read.

    Raises:
        OSError: The file cannot be opened.
        UnfitFile: It is no regular file: reading a pipe may wait, and a device may never end.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise UnfitFile(f"it is {KINDS.get(kind, 'something else')} and no regular file")
    with path.open("rb") as stream:
        stamp = stamp_facts(os.fstat(stream.fileno()))
        return stream.read(), stamp


def take_stamp(path: Path) -> Stamp:
    """Return the file's present stamp; empty if the file cannot be found."""
    try:
        return stamp_facts(path.stat())
    except OSError:
        return ()


def stamp_facts(facts: os.stat_result) -> Stamp:
    """Return facts that change whenever a file's content does.

    Size and modification time stay the same if a tool sets the old time (tar, rsync). The time of
    the last status change cannot be set, and a file that replaces another has another inode.
    """
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
