"""Links in a folder of images that lead out of it: they are read, and a remark reports them."""

import os
from collections.abc import Sequence
from pathlib import Path

from poc.shared.shown_names import plain, say


def remark_links(root: Path, names: Sequence[str]) -> list[str]:
    """Return a remark if files are links, or are below links, to outside of the folder.

    Args:
        root: The folder.
        names: Paths of its images below it. Those that lead upwards, as a CSV file writes them, are
            outside of it without a link.
    """
    names = [name for name in names if not name.startswith("../")]
    inside = f"{os.path.realpath(root)}{os.sep}"
    parents = {os.path.dirname(name) for name in names}  # noqa: PTH120 - a million of them
    is_outside = {
        parent: not f"{os.path.realpath(root / parent)}{os.sep}".startswith(inside)
        for parent in parents
    }
    led_out = [name for name in names if leads_out(root, name, inside, is_outside)]
    if not led_out:
        return []
    count, verb = len(led_out), "is a link" if len(led_out) == 1 else "are links"
    return [
        f"{say(count, 'file')} {verb} to outside of {plain(str(root))!r}, such as "
        f"{plain(led_out[0])!r}; the files that they lead to are read."
    ]


def leads_out(root: Path, name: str, inside: str, is_outside: dict[str, bool]) -> bool:
    """Return True if a file is outside of the folder, by itself or by a folder above it.

    Args:
        root: The folder.
        name: Path of the file below it.
        inside: The folder's real path, with a separator at its end.
        is_outside: Folder of files -> True if its real path is outside.
    """
    path = root / name
    if path.is_symlink():
        return not os.path.realpath(path).startswith(inside)
    return is_outside[os.path.dirname(name)]  # noqa: PTH120 - as above
