"""What an import may bring along, seen in a fresh interpreter."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"keras", "tensorflow", "torch", "torchvision"}
# The package itself, and modules on the way to `poc --help` and to a refused command line: neither
# framework nor NumPy.
LIGHT = ["poc", "poc.cli", "poc.shared.errors", "poc.shared.spec.run", "poc.shared.engine.backend"]
# Each tree and the frameworks that it must not bring: no order of importing both is safe.
TREES = [
    pytest.param("tf_impl", {"torch", "torchvision"}, marks=pytest.mark.tf),
    pytest.param("torch_impl", {"keras", "tensorflow"}, marks=pytest.mark.torch),
]


def modules(folder: str) -> list[str]:
    """The dotted names of all modules under a folder of the package."""
    paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    names = (".".join(["poc", *path.with_suffix("").parts]) for path in paths)
    return sorted(name.removesuffix(".__init__") for name in names)


def loaded_after(*names: str) -> set[str]:
    """The modules that a fresh interpreter holds after importing the named ones."""
    code = f"import sys\nimport {', '.join(names)}\nprint('loaded:', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_neither_framework_nor_numpy(module: str) -> None:
    assert loaded_after(module) & (FRAMEWORKS | {"numpy"}) == set()


def test_shared_imports_no_framework() -> None:
    assert loaded_after(*modules("shared")) & FRAMEWORKS == set()


@pytest.mark.parametrize(("tree", "foreign"), TREES)
def test_a_tree_imports_only_its_own_framework(tree: str, foreign: set[str]) -> None:
    assert loaded_after(*modules(tree)) & foreign == set()


@pytest.mark.parametrize("name", ["cli", "shared", "tf_impl", "torch_impl", "configs"])
def test_bare_names_are_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p.endswith("site-packages")])
    assert find_spec(name) is None
