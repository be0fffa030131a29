"""Every module of `shared` has its test under the same name, or a line that says where it is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTED = tomllib.loads((ROOT / "tests" / "guards" / "tested.toml").read_text(encoding="utf-8"))


def modules(root: Path) -> set[str]:
    """Modules of a folder, as paths without their ending."""
    found = {path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.py")}
    return {name for name in found if not name.endswith("__init__")}


def find_test(module: str) -> Path:
    room, _, name = module.rpartition("/")
    return ROOT / "tests" / "shared" / room / f"test_{name}.py"


def folder_of(name: str) -> str:
    """The folder of a module, as a line names it."""
    return f"{name.rpartition('/')[0]}/"


def without_test(names: set[str]) -> set[str]:
    bare = {name for name in names if not find_test(name).is_file()}
    return {name for name in bare if name not in TESTED and folder_of(name) not in TESTED}


def test_every_module_has_a_test() -> None:
    assert without_test(modules(ROOT / "shared")) == set()


def test_every_line_holds() -> None:
    """What it names is there and has no test of its own, and the test is there."""
    known = modules(ROOT / "shared")
    known |= set(map(folder_of, known))
    wrong = {
        name
        for name, test in TESTED.items()
        if name not in known
        or find_test(name).is_file()
        or not (ROOT / "tests" / f"{test}.py").is_file()
    }
    assert wrong == set()


def test_a_new_module_is_named() -> None:
    assert without_test({"spec/planted", "spec/run"}) == {"spec/planted"}


def test_the_line_of_a_folder_stands_for_its_modules_alone() -> None:
    assert without_test({"spec/networks/layers/planted"}) == set()
    deeper = {"spec/networks/planted", "spec/networks/layers/planted/planted"}
    assert without_test(deeper) == deeper
