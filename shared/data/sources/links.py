"""Links in a folder of images that lead out of it: they are read, and that is said."""

import os
from collections.abc import Sequence
from pathlib import Path

from poc.shared.shown_names import plain, say


def remark_links(root: Path, names: Sequence[str]) -> list[str]:
    """A sentence where files are links, or lie below links, to outside of the folder.

    Args:
        root: The folder.
        names: Paths of its images below it.
    """
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
        f"{plain(led_out[0])!r}; what they lead to is read."
    ]


def leads_out(root: Path, name: str, inside: str, is_outside: dict[str, bool]) -> bool:
    """Whether a file lies elsewhere than below the folder, itself or by a folder above it."""
    path = root / name
    if path.is_symlink():
        return not os.path.realpath(path).startswith(inside)
    return is_outside[os.path.dirname(name)]  # noqa: PTH120 - as above
