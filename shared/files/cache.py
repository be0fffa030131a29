"""The folder of all caches, and paths as a user types them."""

import os
import stat
import tempfile
from pathlib import Path

# A folder that can never exist: nothing is found there, and nothing is kept.
NOWHERE = Path(os.devnull) / "poc"


def cache_root(folder: str | None = None) -> Path:
    """Return the folder of all caches.

    It is the first of: the given folder, POC_CACHE, `poc` in the user's cache folder, a temporary
    folder of this user's own (for a user without a home), and `NOWHERE`.
    """
    given = folder or os.environ.get("POC_CACHE")
    if given:
        return expand_home(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "poc"
    try:
        return Path.home() / ".cache" / "poc"
    except RuntimeError:
        return temporary_root()


def temporary_root() -> Path:
    """Return a folder that nobody else can write to, because readers trust a cache's content."""
    user = getattr(os, "getuid", lambda: "user")()
    path = Path(tempfile.gettempdir()) / f"poc-{user}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        facts = path.lstat()
    except OSError:
        return NOWHERE
    is_own = facts.st_uid == user and stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o022
    return path if is_own else NOWHERE


def expand_home(text: str) -> Path:
    """Return the path, with `~` replaced by the user's home if the user has one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
