"""The configs that ship with the package, by name: `lightlayers/embedded`."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from poc.shared.errors import UsageError

ENDING = ".toml"
FOLDER = "configs/"


def shipped_configs() -> Mapping[str, Traversable]:
    """Every config of the package, its name before it, in the order of the names."""
    return dict(sorted(walk(files("poc.configs"), "")))


def walk(folder: Traversable, below: str) -> Iterator[tuple[str, Traversable]]:
    """Names and files below a folder of the package."""
    for child in folder.iterdir():
        if child.is_dir():
            yield from walk(child, f"{below}{child.name}/")
        elif child.name.endswith(ENDING):
            yield f"{below}{child.name.removesuffix(ENDING)}", child


def find_config(given: Path | str) -> Path | Traversable:
    """The file that `--config` means: one on the disk, else one of the package.

    Args:
        given: A path, or a shipped config's name, with or without `configs/` and `.toml`: so a
            command that a page prints works in any folder.

    Raises:
        UsageError: There is neither; it names the nearest shipped ones.
    """
    name = Path(given).as_posix().removeprefix(FOLDER).removesuffix(ENDING)
    shipped = shipped_configs()
    if Path(given).is_dir():
        # A folder is no config, whatever its name.
        if name in shipped:
            return shipped[name]
        raise UsageError(
            f"received the config {str(given)!r}, which is a folder or an empty name; name a TOML "
            "file or a name of `poc config list`"
        )
    if Path(given).exists():
        if Path(given).as_posix() == name and name in shipped:
            raise UsageError(
                f"received the config {name!r}, which is a file here and the name of a shipped "
                f"one; allowed is one of them: write {FOLDER}{name} for the shipped one, or give "
                f"the file the ending {ENDING}"
            )
        return Path(given)
    if name in shipped:
        return shipped[name]
    near = get_close_matches(name, shipped, n=3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(
        f"received the config {str(given)!r}, which does not exist and is no shipped one; name "
        f"a TOML file or a name of `poc config list`.{meant}"
    )


def read_header(config: Traversable) -> list[str]:
    """The lines of the comment that a shipped config opens with."""
    header = []
    for line in config.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        header.append(line.lstrip("#").strip())
    return header


def describe_config(config: Traversable) -> tuple[str, str]:
    """The command that runs a shipped config, and what its header says first."""
    header = read_header(config)
    command = next(line for line in header if line.startswith("poc "))
    words = [line for line in header if line and not line.startswith("poc ")]
    return command, words[0] if words else ""
