"""Configs that ship with the package, under names such as `lightlayers/embedded`."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from poc.shared.errors import UsageError

ENDING = ".toml"
FOLDER = "configs/"
# It runs anywhere: its images ship with the package, and it needs no teacher.
SMALLEST = "lightlayers/embedded"


def shipped_configs() -> Mapping[str, Traversable]:
    """Map the name of every config of the package to its file, in the order of the names."""
    return dict(sorted(walk(files("poc.configs"), "")))


def walk(folder: Traversable, below: str) -> Iterator[tuple[str, Traversable]]:
    """Yield names and files below a folder of the package."""
    for child in folder.iterdir():
        if child.is_dir():
            yield from walk(child, f"{below}{child.name}/")
        elif child.name.endswith(ENDING):
            yield f"{below}{child.name.removesuffix(ENDING)}", child


def find_config(given: Path | str) -> Path | Traversable:
    """Find the file that `--config` means: one on the disk, or else one of the package.

    Args:
        given: A path, or a shipped config's name, with or without `configs/` and `.toml`: so the
            commands of the docs work in any folder.

    Raises:
        UsageError: Neither exists; the message names the nearest shipped ones.
    """
    name = Path(given).as_posix().removeprefix(FOLDER).removesuffix(ENDING)
    shipped = shipped_configs()
    if Path(given).is_dir():
        # A folder may have the name of a shipped config, which then wins.
        if name in shipped:
            return shipped[name]
        raise UsageError(
            f"Got the config {str(given)!r}, which is a folder or an empty name. Expected a TOML "
            f"file or a name of `poc config list`. Try {suggest_config(name, shipped)}."
        )
    if Path(given).exists():
        if Path(given).as_posix() == name and name in shipped:
            raise UsageError(
                f"Got the config {name!r}, which is a file here and the name of a shipped one. "
                f"Expected only one of them. Try {FOLDER}{name} for the shipped one, or give the "
                f"file the ending {ENDING}."
            )
        return Path(given)
    if name in shipped:
        return shipped[name]
    raise UsageError(
        f"Got the config {str(given)!r}, which does not exist and is not a shipped one. Expected "
        f"a TOML file or a name of `poc config list`. Try {suggest_config(name, shipped)}."
    )


def suggest_config(name: str, shipped: Collection[str]) -> str:
    """Name the shipped configs in a folder of this name, or with a name close to it."""
    inside = [other for other in shipped if other.startswith(f"{name}/")]
    near = inside[:3] or get_close_matches(name, shipped, n=3, cutoff=0.5)
    return " or ".join(near or [SMALLEST])


def read_header(config: Traversable) -> list[str]:
    """Return the lines of the comment at the start of a shipped config."""
    header = []
    for line in config.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        header.append(line.lstrip("#").strip())
    return header


def describe_config(config: Traversable) -> tuple[str, str]:
    """Return the command that runs a shipped config, and the first line of its description."""
    header = read_header(config)
    command = next(line for line in header if line.startswith("poc "))
    words = [line for line in header if line and not line.startswith("poc ")]
    return command, words[0] if words else ""
