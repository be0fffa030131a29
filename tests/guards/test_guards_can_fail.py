"""A guard that cannot go red guards nothing: plant each violation in a copy and see it caught.

The copy stands in for the installed package: a link named `poc` beside it, first on the path.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
TREE = ("benchmarks", "configs", "shared", "tf_impl", "torch_impl", "tests/guards", "tests/helpers")
ROOT_FILES = ("__init__.py", "cli.py", "pyproject.toml")

RUFF = [str(SCRIPTS / "ruff"), "check", "--no-cache", "--output-format=concise"]
CONTRACTS = [str(SCRIPTS / "lint-imports"), "--no-cache", "--no-logo"]
TYPES = [str(SCRIPTS / "mypy"), "--cache-dir=/dev/null"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
MIRROR = [*PYTEST, "tests/guards/test_mirror.py"]
PACKAGING = [*PYTEST, "tests/guards/test_packaging.py"]
ROOMS = [*PYTEST, "tests/guards/test_rooms.py"]
ANY = [*PYTEST, "tests/guards/test_any.py"]
SHAPES = [*PYTEST, "tests/guards/test_shapes.py", "-k", "functions_of_arrays"]
METHODS = [*PYTEST, "tests/guards/test_methods.py", "-k", "implemented"]
ARCHITECTURES = [*PYTEST, "tests/guards/test_architectures.py"]
CONFIGS = [*PYTEST, "tests/guards/test_configs.py"]
LIGHT_IMPORTS = [*PYTEST, "tests/guards/test_imports.py", "-k", "light_modules"]
SHARED_IMPORTS = [*PYTEST, "tests/guards/test_imports.py", "-k", "shared_imports"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A guard, a violation planted in the copy, and what the guard's output must name."""

    guard: list[str]
    plant: Callable[[Path], None]
    names: str


def write(file: str, text: str) -> Callable[[Path], None]:
    """Plant a file, or replace it."""

    def plant(root: Path) -> None:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return plant


def append(file: str, text: str) -> Callable[[Path], None]:
    """Plant lines at the end of a file that exists."""

    def plant(root: Path) -> None:
        with (root / file).open("a", encoding="utf-8") as stream:
            stream.write(text)

    return plant


def replace_text(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a text of a file."""

    def plant(root: Path) -> None:
        path = root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return plant


def fill_folder(folder: str, count: int) -> Callable[[Path], None]:
    """Plant so many empty modules."""

    def plant(root: Path) -> None:
        for number in range(count):
            write(f"{folder}/planted_{number}.py", "")(root)

    return plant


def in_both_trees(tf_text: str, torch_text: str) -> Callable[[Path], None]:
    """Plant a module of the same name in each tree."""

    def plant(root: Path) -> None:
        write("tf_impl/planted.py", tf_text)(root)
        write("torch_impl/planted.py", torch_text)(root)

    return plant


LAYER = """
class Planted:
    def __init__(self, *, rank: int = 3) -> None:
        self.rank = rank

    def {name}(self, images: {tensor}) -> dict[str, {tensor}]:
        return {{"images": images}}

    {extra}
"""
FIELDS = """
from dataclasses import dataclass


@dataclass
class Planted:
    rank: int = {rank}
"""
CONFIG = "# poc run --config configs/planted/planted.toml\n{body}\n"

CASES = {
    "mirror: changed default": Case(
        guard=MIRROR,
        plant=in_both_trees(
            "def planted(*, rank: int = 3) -> int: ...\n",
            "def planted(*, rank: int = 4) -> int: ...\n",
        ),
        names="rank: int=4",
    ),
    "mirror: changed default of a field": Case(
        guard=MIRROR,
        plant=in_both_trees(FIELDS.format(rank=3), FIELDS.format(rank=4)),
        names="rank: int = 4",
    ),
    "mirror: changed constant": Case(
        guard=MIRROR,
        plant=in_both_trees("EPSILON = 1e-3\n", "EPSILON = 1e-5\n"),
        names="EPSILON",
    ),
    "mirror: renamed parameter": Case(
        guard=MIRROR,
        plant=in_both_trees("def planted(images): ...\n", "def planted(inputs): ...\n"),
        names="inputs",
    ),
    "mirror: another order": Case(
        guard=MIRROR,
        plant=in_both_trees(
            "def first(): ...\ndef second(): ...\n", "def second(): ...\ndef first(): ...\n"
        ),
        names="second",
    ),
    "mirror: one-sided name": Case(
        guard=MIRROR,
        plant=in_both_trees("def planted(): ...\n", "def _planted(): ...\n"),
        names="planted",
    ),
    "mirror: one-sided file": Case(
        guard=MIRROR, plant=write("tf_impl/planted.py", ""), names="planted.py"
    ),
    "ruff: bare import of shared": Case(
        guard=RUFF, plant=write("tf_impl/planted.py", "import shared\n"), names="TID251"
    ),
    "ruff: bare import from a tree": Case(
        guard=RUFF, plant=write("shared/planted.py", "from tf_impl import layers\n"), names="TID251"
    ),
    "ruff: framework at module level of shared": Case(
        guard=RUFF, plant=write("shared/data/planted.py", "import torch\n"), names="TID253"
    ),
    "ruff: relative import of a parent": Case(
        guard=RUFF,
        plant=write("tf_impl/methods/planted.py", "from .. import layers\n"),
        names="TID252",
    ),
    "ruff: assert in the package": Case(
        guard=RUFF, plant=write("shared/data/planted.py", "assert True\n"), names="S101"
    ),
    "contracts: framework in shared": Case(
        guard=CONTRACTS,
        plant=write("shared/data/planted.py", "def planted():\n    import tensorflow\n"),
        names="poc.shared.data.planted -> tensorflow",
    ),
    "contracts: shared imports a tree": Case(
        guard=CONTRACTS,
        plant=write("shared/engine/planted.py", "import poc.tf_impl\n"),
        names="poc.shared.engine.planted -> poc.tf_impl",
    ),
    "contracts: spec imports data": Case(
        guard=CONTRACTS,
        plant=write("shared/spec/planted.py", "import poc.shared.data\n"),
        names="poc.shared.spec.planted -> poc.shared.data",
    ),
    "contracts: stray module in shared": Case(
        guard=CONTRACTS, plant=write("shared/planted.py", ""), names="planted"
    ),
    "contracts: cli imports a tree": Case(
        guard=CONTRACTS,
        plant=append("cli.py", "\nimport poc.torch_impl\n"),
        names="poc.cli -> poc.torch_impl",
    ),
    "contracts: one tree imports the other": Case(
        guard=CONTRACTS,
        plant=write("tf_impl/planted.py", "import poc.torch_impl\n"),
        names="poc.tf_impl.planted -> poc.torch_impl",
    ),
    "contracts: PyTorch in the TensorFlow tree": Case(
        guard=CONTRACTS,
        plant=write("tf_impl/planted.py", "import torch\n"),
        names="poc.tf_impl.planted -> torch",
    ),
    "contracts: Keras in the PyTorch tree": Case(
        guard=CONTRACTS,
        plant=write("torch_impl/planted.py", "import keras\n"),
        names="poc.torch_impl.planted -> keras",
    ),
    "types: wrong return": Case(
        guard=TYPES,
        plant=write("shared/data/planted.py", "def planted(rank: int) -> str:\n    return rank\n"),
        names='got "int", expected "str"',
    ),
    "imports: NumPy on the way to --help": Case(
        guard=LIGHT_IMPORTS, plant=append("cli.py", "\nimport numpy\n"), names="numpy"
    ),
    "imports: hidden framework in shared": Case(
        guard=SHARED_IMPORTS,
        plant=write("shared/data/planted.py", "__import__('importlib').import_module('torch')\n"),
        names="torch",
    ),
    "packaging: unlisted package": Case(
        guard=PACKAGING, plant=write("shared/planted/__init__.py", ""), names="poc.shared.planted"
    ),
    "packaging: folder without __init__": Case(
        guard=PACKAGING, plant=write("shared/planted/module.py", ""), names="poc.shared.planted"
    ),
    "packaging: unpacked data file": Case(
        guard=PACKAGING, plant=write("shared/data/planted.csv", ""), names="shared/data/planted.csv"
    ),
    "packaging: stray root module": Case(
        guard=PACKAGING, plant=write("conftest.py", ""), names="conftest.py"
    ),
    "rooms: a folder of fifteen modules": Case(
        guard=ROOMS, plant=fill_folder("shared/files", 15), names="shared/files"
    ),
    "rooms: a helper among the tests": Case(
        guard=ROOMS, plant=write("tests/guards/planted.py", ""), names="guards/planted.py"
    ),
    "rooms: a test among the helpers": Case(
        guard=ROOMS, plant=write("tests/helpers/test_planted.py", ""), names="helpers/test_planted"
    ),
    "rooms: a folder of fifteen helpers": Case(
        guard=ROOMS, plant=fill_folder("tests/helpers/workers", 15), names="tests/helpers/workers"
    ),
    "rooms: a long file": Case(
        guard=ROOMS, plant=write("shared/data/planted.py", "\n" * 301), names="planted.py"
    ),
    "rooms: a long function": Case(
        guard=ROOMS,
        plant=write("shared/data/planted.py", "def planted():\n" + "    pass\n" * 60),
        names="planted.py:planted",
    ),
    "rooms: seven parameters": Case(
        guard=ROOMS,
        plant=write("shared/data/planted.py", "def planted(a, b, c, *, d, e, f, g): ...\n"),
        names="planted.py:planted",
    ),
    "any: more lines than are allowed": Case(
        guard=ANY,
        plant=write("shared/data/planted.py", "from typing import Any\n" + "a: Any\n" * 200),
        names="shared/data/planted.py:201",
    ),
    "shapes: a function of tensors without any": Case(
        guard=SHAPES,
        plant=append("tf_impl/losses.py", "\n\ndef planted(images: tf.Tensor) -> None: ...\n"),
        names="planted (line",
    ),
    "shapes: a function of an alias of arrays without any": Case(
        guard=SHAPES,
        plant=append("shared/weights/wrapping.py", "\n\ndef planted(tensors: Tensors): ...\n"),
        names="planted (line",
    ),
    "types: an operation that no worker has": Case(
        guard=TYPES,
        plant=replace_text("shared/actions/doctor.py", "Operations.describe)", "Operations.tell)"),
        names="tell",
    ),
    "types: a misspelt argument of an operation": Case(
        guard=TYPES,
        plant=replace_text("shared/engine/launch/imagenet.py", "name=name)", "named=name)"),
        names="named",
    ),
    "methods: a misspelt objective": Case(
        guard=METHODS,
        plant=replace_text("torch_impl/methods/__init__.py", '"kd":', '"dk":'),
        names="dk",
    ),
    "methods: a misspelt kind of layer": Case(
        guard=METHODS,
        plant=replace_text("tf_impl/layers/residual.py", '"highway":', '"high":'),
        names="high",
    ),
    "methods: a module of layers that the table leaves out": Case(
        guard=METHODS,
        plant=replace_text("torch_impl/layers/__init__.py", "        **light.KINDS,\n", ""),
        names="light_dense",
    ),
    "architectures: a model without a row": Case(
        guard=ARCHITECTURES,
        plant=replace_text(
            "shared/spec/networks/architectures/table.py", '"simple_cnn": M', '"planted": M'
        ),
        names="planted",
    ),
    "configs: unknown key": Case(
        guard=CONFIGS,
        plant=write("configs/planted/planted.toml", CONFIG.format(body="planted_key = 1")),
        names="planted_key",
    ),
    "configs: no command at the top": Case(
        guard=CONFIGS,
        plant=write("configs/planted/planted.toml", 'method = "lightlayers"\n'),
        names="configs/planted/planted.toml must open with",
    ),
}


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the code that the guards read, without what only weighs."""
    root = tmp_path_factory.mktemp("pristine") / "checkout"
    skip = shutil.ignore_patterns("__pycache__", "test_guards_can_fail.py")
    for folder in TREE:
        shutil.copytree(ROOT / folder, root / folder, ignore=skip)
    for file in ROOT_FILES:
        shutil.copy2(ROOT / file, root / file)
    (root / ".alias").mkdir()
    (root / ".alias" / "poc").symlink_to("..", target_is_directory=True)
    return root


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "checkout", symlinks=True)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "poc").symlink_to(tmp_path / "checkout", target_is_directory=True)
    return tmp_path / "checkout"


def run(guard: list[str], root: Path) -> tuple[int, str]:
    environment = os.environ | {
        "PYTHONPATH": str(root.parent / "path"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "1000",
    }
    done = subprocess.run(
        guard,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout


def test_the_copy_itself_is_green(copy: Path) -> None:
    """Without this, a guard that is red for another reason would pass for a guard that works."""
    guards = {" ".join(case.guard): case.guard for case in CASES.values()}
    red = {
        name: output
        for name, guard in guards.items()
        for code, output in [run(guard, copy)]
        if code != 0
    }
    assert not red, "\n\n".join(f"{name}\n{output}" for name, output in red.items())


def test_the_copy_is_what_the_guards_read(copy: Path) -> None:
    code, output = run([sys.executable, "-c", "import poc.cli; print(poc.cli.__file__)"], copy)
    assert code == 0, output
    assert Path(output.strip()).resolve() == copy.resolve() / "cli.py"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_guard_goes_red(case: Case, copy: Path) -> None:
    case.plant(copy)
    code, output = run(case.guard, copy)
    assert code == 1, output
    assert case.names in output, output


def test_mirror_accepts_what_it_says_it_accepts(copy: Path) -> None:
    """The listed exceptions are read as equal: call and forward, tensors, a one-sided build."""
    build = "def build(self, shape: object) -> None: ..."
    tf_text = LAYER.format(name="call", tensor="tf.Tensor", extra=build)
    torch_text = LAYER.format(name="forward", tensor="torch.Tensor", extra="pass")
    in_both_trees(tf_text, torch_text)(copy)
    code, output = run(MIRROR, copy)
    assert code == 0, output
