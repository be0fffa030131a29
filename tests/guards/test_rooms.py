"""Rooms stay small: folders, files, functions, and what a function takes; a test is no helper."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("shared", "tf_impl", "torch_impl")
# Below tests/: what is no test file.
HELPERS = ("helpers", "reference")
MAX_MODULES, MAX_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 14, 300, 60, 6
# Functions that take more, by file and name, and why.
CONSTRUCTOR = "a layer takes by keyword what its declaration names"
KERNEL = "the framework's kernel takes as many"
CONTRACT = "a batch is images, labels, noise and extras, beside run, weights and state"
MORE_PARAMETERS = {
    "layers/convolution.py:__init__": CONSTRUCTOR,
    "layers/light.py:__init__": CONSTRUCTOR,
    "layers/neighbours.py:__init__": CONSTRUCTOR,
    "layers/batch_norm.py:normalize_by_batch": KERNEL,
    "layers/batch_norm.py:_backward_kernel": KERNEL,
    "layers/batch_norm.py:forward": KERNEL,
    "layers/derivatives.py:_convolve": KERNEL,
    "layers/derivatives.py:_normalise": KERNEL,
    "features.py:hyper_gradient": CONTRACT,
    "gradients.py:compute_gradients": CONTRACT,
    "engine/backend.py:hyper_gradient": CONTRACT,
    "optimizers/rules.py:__init__": "an optimiser takes by keyword what the run declares",
}


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def folders() -> list[Path]:
    found = {path.parent for tree in TREES for path in (ROOT / tree).rglob("*.py")}
    return sorted(found)


def files() -> list[Path]:
    return [ROOT / "cli.py", *(path for folder in folders() for path in folder.glob("*.py"))]


def helpers() -> list[Path]:
    """Folders below tests/ that hold no tests."""
    found = {path.parent for name in HELPERS for path in (ROOT / "tests" / name).rglob("*.py")}
    return sorted(found)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def is_command(path: Path, node: ast.FunctionDef) -> bool:
    """A command's parameters are its options, which its user counts; its action takes them on."""
    is_action = "shared/actions/" in path.as_posix() and len(node.args.args) <= 2
    return is_action or any("click." in ast.unparse(d) for d in node.decorator_list)


def count_parameters(node: ast.FunctionDef) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"], ["ctx"]))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_folders_hold_few_modules() -> None:
    counts = {name_of(folder): len(modules(folder)) for folder in folders() + helpers()}
    assert {name: count for name, count in counts.items() if count > MAX_MODULES} == {}


def test_a_file_of_the_tests_is_a_test_or_a_helper() -> None:
    files = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")]
    strays = [
        path.as_posix()
        for path in files
        if path.parts[0] not in HELPERS
        and path.name != "conftest.py"
        and not path.name.startswith("test_")
    ]
    assert strays == []
    hidden = [path for path in files if path.parts[0] in HELPERS and path.name.startswith("test_")]
    assert [path.as_posix() for path in hidden] == []


def test_files_are_short() -> None:
    counts = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert {name: count for name, count in counts.items() if count > MAX_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{node.name}": lines
        for path in files()
        for node in functions(path)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_functions_take_few_parameters() -> None:
    found = {
        f"{name_of(path)}:{node.name}"
        for path in files()
        for node in functions(path)
        if count_parameters(node) > MAX_PARAMETERS and not is_command(path, node)
    }
    known = {name for name in found if any(name.endswith(f"/{end}") for end in MORE_PARAMETERS)}
    assert found - known == set()


@pytest.mark.parametrize("end", MORE_PARAMETERS)
def test_no_exception_is_out_of_date(end: str) -> None:
    file, _, name = end.rpartition(":")
    found = [
        node
        for path in files()
        if name_of(path).endswith(f"/{file}")
        for node in functions(path)
        if node.name == name and count_parameters(node) > MAX_PARAMETERS
    ]
    assert found, f"{end} takes {MAX_PARAMETERS} parameters or fewer by now"
