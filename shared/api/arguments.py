"""Arguments of a call whose type Python does not check: paths, settings, names, sizes."""

import os
from collections.abc import Mapping
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.cache import expand_home


def read_path(value: object, name: str) -> Path:
    """Return an argument as a path, with the user's home for `~`.

    Args:
        value: The argument, of any type.
        name: The keyword, for the message.

    Raises:
        UsageError: It is no path. An empty text is none either: it would be the current folder.
    """
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        given = repr(value) if value is None or isinstance(value, str | bytes | int) else ""
        found = f"{name}={given}" if given else f"{name} of type {type(value).__name__}"
        has_folder = hasattr(value, "folder")
        advice = f"its folder, {name}=result.folder" if has_folder else f'{name}="PATH"'
        raise UsageError(
            f"Got {found}. Expected a path, as a text or as a pathlib.Path. Try {advice}."
        )
    return expand_home(path)


def read_optional_path(value: object, name: str) -> Path | None:
    """Return `read_path` of an argument; None for None."""
    return None if value is None else read_path(value, name)


def read_settings(value: object) -> Mapping[str, object]:
    """Return the settings of a call; none for None.

    Raises:
        UsageError: They are no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(
            f"Got settings of type {type(value).__name__}. Expected a dict of dotted keys and "
            'values. Try settings={"optimizer.learning_rate": 1e-3}.'
        )
    return value
