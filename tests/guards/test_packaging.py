"""The package list of pyproject.toml is whole, and the root holds no stray module."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("configs", "shared", "tf_impl", "torch_impl")


def setuptools_table() -> dict:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)["tool"]["setuptools"]


def dotted(folder: Path) -> str:
    return ".".join(["poc", *folder.relative_to(ROOT).parts])


def test_every_package_is_listed() -> None:
    listed = setuptools_table()["packages"]
    found = {
        dotted(init.parent) for layer in LAYERS for init in (ROOT / layer).rglob("__init__.py")
    }
    assert set(listed) == {"poc"} | found
    assert len(listed) == len(set(listed))


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    assert {dotted(folder) for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_data_files_of_the_package_are_packed() -> None:
    """Every file below a layer that is no module matches a pattern of package-data."""
    packed = {
        path
        for package, patterns in setuptools_table()["package-data"].items()
        for pattern in patterns
        for path in (ROOT / Path(*package.split(".")[1:])).glob(pattern)
    }
    present = {
        path
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert {path.relative_to(ROOT).as_posix() for path in present - packed} == set()


def test_root_holds_only_the_package_modules() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}
