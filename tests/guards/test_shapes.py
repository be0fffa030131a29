"""Public functions of arrays and tensors state shapes: `images: (N, H, W, C)`, returns `(N,)`.

A shape is in the docstring of the function or of its class, such as `(N, C)`, `(C,)`, `()` for a
scalar and `(…)` for any. An alias that has its own documentation counts too: `Weights`. Functions
that implement the contract of `shared/engine/backend.py` and `trainer.py` may leave shapes to it.

There is no list of exceptions. `python tests/guards/test_shapes.py` prints what is missing.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("shared", "tf_impl", "torch_impl")
CONTRACT = [ROOT / "shared" / "engine" / f"{name}.py" for name in ("backend", "trainer")]

TYPES = r"NDArray|tf\.Tensor|torch\.Tensor"
ALIAS = re.compile(r"`(?:Weights|Arrays|Images)`")
SYMBOL = r"(?:…|\d+|[A-Z][a-z]?'?)"
AXIS = rf"(?:{SYMBOL}|[a-z]\w*)"
SIZE = rf"{AXIS}(?: [*/+-] {AXIS})*"
# A list in parentheses is a shape if one axis is a symbol, a number or a name with underscores:
# (N, num_classes), but not (training, evaluation).
SHAPE = re.compile(
    rf"(?<!\w)\((?:…|{SIZE},|(?=[^)]*(?:\b[A-Z][a-z]?'?(?=[ ,)])|\d|…|_)){SIZE}(?:, {SIZE})+)?\)"
)

Owner = ast.Module | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(owner: Owner) -> Iterator[tuple[Owner, Function]]:
    """Yield public functions and methods, each with the class or module that owns it."""
    for node in owner.body:
        if isinstance(node, Function) and (node.name[0] != "_" or node.name == "__call__"):
            yield owner, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node)


@functools.cache
def names_of_types() -> re.Pattern[str]:
    """Return a pattern of the array types and of their aliases, such as `Arrays` and `Pixels`."""
    aliases = {
        node.targets[0].id: ast.unparse(node.value)
        for path in modules()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Subscript | ast.Name)
    }
    found: set[str] = set()
    # Again until nothing is new, because an alias may name another: `Part = tuple[Pixels, Labels]`.
    while True:
        pattern = re.compile(rf"\b(?:{'|'.join([TYPES, *sorted(found)])})\b")
        names = {
            name
            for name, value in aliases.items()
            if pattern.search(value) and not value.startswith("Callable")
        }
        if names == found:
            return pattern
        found = names


def takes_or_returns_arrays(node: Function) -> bool:
    """Return True if an annotation of the signature names arrays or tensors."""
    given = node.args
    arguments = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    annotations = [argument.annotation for argument in arguments if argument]
    types = names_of_types()
    return any(types.search(ast.unparse(each)) for each in (*annotations, node.returns) if each)


def states_shapes(text: str | None) -> bool:
    return bool(text and (SHAPE.search(text) or ALIAS.search(text)))


def contract() -> dict[str, set[str]]:
    """Return each protocol's names of methods, whose docstrings are checked like all others."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in CONTRACT]
    return {
        node.name: {method.name for _, method in functions(node)}
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def without_shapes(path: Path) -> list[str]:
    """Name the public functions of arrays or tensors whose docstrings state no shape."""
    protocols = contract()
    found = []
    for owner, node in functions(ast.parse(path.read_text(encoding="utf-8"))):
        texts = [ast.get_docstring(node)]
        inherited = protocols["Backend"]
        if isinstance(owner, ast.ClassDef):
            texts.append(ast.get_docstring(owner))
            inherited = protocols["Trainer"]
        is_inherited = node.name in inherited and path not in CONTRACT
        is_done = is_inherited or any(states_shapes(text) for text in texts)
        if takes_or_returns_arrays(node) and not is_done:
            found.append(f"{node.name} (line {node.lineno})")
    return found


def modules() -> list[Path]:
    return sorted(path for tree in TREES for path in (ROOT / tree).rglob("*.py"))


def list_without_shapes() -> dict[str, list[str]]:
    found = {path.relative_to(ROOT).as_posix(): without_shapes(path) for path in modules()}
    return {name: missing for name, missing in found.items() if missing}


def test_public_functions_of_arrays_state_shapes() -> None:
    assert list_without_shapes() == {}


def test_aliases_of_arrays_are_known() -> None:
    pattern = names_of_types()
    for name in ("Arrays", "Weights", "Images", "Pixels", "Part", "Tensors", "torch.Tensor"):
        assert pattern.fullmatch(name), name
    for name in ("Path", "str", "Evaluate", "Callable", "Any"):
        assert not pattern.fullmatch(name), name


def test_enough_functions_are_looked_at() -> None:
    found = [
        node.name
        for path in modules()
        for _, node in functions(ast.parse(path.read_text(encoding="utf-8")))
        if takes_or_returns_arrays(node)
    ]
    assert len(found) > 400
    assert {"cross_entropy", "resize_matrix", "images_to_tensor", "teacher_outputs"} <= set(found)


PLANTED = '''
class Public:
    """A class."""

    def method(self, weights: "Weights | None" = None) -> None:
        """Load weights (training, evaluation) by load()."""

    def _private(self, images: NDArray[np.float32]) -> None:
        """Do what it likes."""

def returns(*, path: str) -> dict[str, NDArray[np.int64]]:
    """Read a file."""

def gathers(*maps: tf.Tensor, **others: torch.Tensor) -> None:
    pass

def counts(numbers: Sequence[int]) -> int:
    """Count."""
'''


def test_planted_functions_are_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(PLANTED, encoding="utf-8")
    assert [each.split()[0] for each in without_shapes(path)] == ["method", "returns", "gathers"]


@pytest.mark.parametrize(
    "text",
    [
        "Return logits (N, num_classes).",
        "Keep the share of a statistic (C,).",
        "Resize (N, H, W, C) -> (N, H', W', C).",
        "View maps as (N * H * W / aside, aside * C).",
        "Return (out_size, in_size) matrices.",
        "Enlarge the loss ().",
        "Scale gradients (…), and masks (1,).",
        "Load canonical `Weights`.",
    ],
)
def test_shapes_are_recognized(text: str) -> None:
    assert states_shapes(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "Load weights.",
        "Weights of a run (canonical).",
        "Call step() and wait(seconds).",
        "Read images (training, evaluation) in order (see above).",
        "Follow the paper (arXiv 1905.05901, section 2).",
    ],
)
def test_other_words_are_no_shapes(text: str | None) -> None:
    assert not states_shapes(text)


@pytest.mark.parametrize(("head", "is_found"), [("class Trainer:\n    ", False), ("", True)])
def test_the_contract_is_inherited_by_its_own_names(
    head: str, is_found: bool, tmp_path: Path
) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"{head}def step(self, images: NDArray[Any]) -> None: ...\n", encoding="utf-8")
    assert bool(without_shapes(path)) == is_found


if __name__ == "__main__":
    for name, missing in list_without_shapes().items():
        print(name, *missing, sep="\n    ")
