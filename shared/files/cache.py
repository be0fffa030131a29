"""Where caches lie, and paths as a user types them."""

import os
import stat
import tempfile
from pathlib import Path

# A folder that can never be: nothing is found there, and nothing is kept.
NOWHERE = Path(os.devnull) / "poc"


def cache_root(folder: str | None = None) -> Path:
    """Where all caches lie.

    The given folder, else POC_CACHE, else `poc` in the user's cache folder, else (a user without a
    home) a temporary folder of this user's own, else nowhere.
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
    """A folder that nobody else can write to: what lies in a cache is believed."""
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
    """The path, with `~` as the user's home where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
