"""Safetensors in several files: an index in JSON names the file of each tensor."""

import json
from pathlib import Path

from poc.shared.errors import UsageError

from .arrays import Arrays, read_arrays
from .whole import read_regular

INDEX = ".safetensors.index.json"
SAVED = (f"model{INDEX}", "model.safetensors")  # in a folder that transformers saved


def find_saved(path: Path) -> Path:
    """Return the weights in a folder as transformers saves a model; or the path itself."""
    return next((path / name for name in SAVED if (path / name).is_file()), path)


def read_shards(path: Path) -> Arrays:
    """Read the arrays (…) of all files that an index names; each lies in the index's folder.

    Raises:
        UsageError: The index is malformed, a file is missing or malformed, or a tensor is not where
            the index says.
    """
    files = read_index(path)
    found: Arrays = {}
    for file in sorted(set(files.values())):
        found |= read_arrays(path.with_name(file))
    missing = [name for name in files if name not in found]
    if missing:
        raise UsageError(
            f"Got {str(path)!r}, whose files do not have {missing[0]!r}. Expected all tensors that "
            "it names. Try downloading the files again."
        )
    return found


def list_files(path: Path) -> list[Path]:
    """Return the file and, if it is an index, all files that it names, each once.

    Raises:
        UsageError: The index is malformed, or a file that it names is missing.
    """
    if not path.name.endswith(INDEX):
        return [path]
    parts = [path.with_name(name) for name in sorted(set(read_index(path).values()))]
    for part in parts:
        if not part.is_file():
            raise UsageError(
                f"Got {str(path)!r}, whose file {part.name!r} is missing. Expected all files that "
                "it names, in its folder. Try downloading the files again."
            )
    return [path, *parts]


def read_index(path: Path) -> dict[str, str]:
    """Read the map from a tensor's name to the name of its file.

    Raises:
        UsageError: It is no such map, or a file lies in another folder.
    """
    try:
        content = json.loads(read_regular(path))
        files = content["weight_map"]
        is_map = bool(files) and all(is_plain(name) for name in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_map = False
    if not is_map:
        raise UsageError(
            f"Got {str(path)!r}, which is no index of safetensors. Expected a JSON file with "
            "weight_map, tensor -> file in the same folder. Try the index that came with the files."
        )
    return dict(files)


def is_plain(name: object) -> bool:
    """Say if a name is that of a safetensors file in the same folder, not a path out of it."""
    return isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors")
