"""Tables agree: what `shared` declares is what both trees implement, key by key."""

import ast
import re
from pathlib import Path

import pytest

from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.reading.small_forms import small_form
from poc.tests.helpers.layers.kinds import declared_kinds

ROOT = Path(__file__).parents[2]
TREES = ("tf_impl", "torch_impl")
# Pages that tell of two methods.
PAGES = {"scratch": "lightlayers"}
# NumPy references of an objective, in tests/reference.
REFERENCES = {
    "supervised": ("layers", "cross_entropy"),
    "transfer": ("layers", "cross_entropy"),
    "fitted_head": ("fitted_heads", "logistic_gradient"),
    "kd": ("distillation_losses", "soft_cross_entropy"),
    "lwf": ("distillation_losses", "soft_cross_entropy"),
    "fitnets": ("distillation_losses", "squared_error"),
    "attention_transfer": ("distillation_losses", "attention_distance"),
    "semckd": ("distillation_losses", "semckd_matching"),
    "l2t_ww": ("l2t_ww", "hyper_gradient"),
}


def read_keys(file: Path, table: str) -> list[str]:
    """The keys of a table at the top of a module, in their order; nothing is imported."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
            value = node.value
            value = value.args[0] if isinstance(value, ast.Call) else value
            assert isinstance(value, ast.Dict)
            return [ast.literal_eval(key) for key in value.keys if key is not None]
    raise AssertionError(f"{file} has no table {table}")


@pytest.mark.parametrize("tree", TREES)
def test_every_objective_is_implemented(tree: str) -> None:
    keys = read_keys(ROOT / tree / "methods" / "__init__.py", "OBJECTIVES")
    assert set(keys) == {row.objective for row in METHODS.values()}
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("tree", TREES)
def test_every_kind_of_layer_is_implemented(tree: str) -> None:
    folder = ROOT / tree / "layers"
    whole = (folder / "__init__.py").read_text(encoding="utf-8")
    modules = re.findall(r"\*\*(\w+)\.KINDS", whole)
    keys = [key for module in modules for key in read_keys(folder / f"{module}.py", "KINDS")]
    declared = declared_kinds()
    assert set(keys) == set(declared)
    assert len(set(keys)) == len(keys) == len(declared)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_all_that_belongs_to_it(method: str) -> None:
    objective = METHODS[method].objective
    assert list((ROOT / "configs" / method).glob("*.toml")), f"{method} has no config"
    page = PAGES.get(method, method.replace("-", "_"))
    assert (ROOT / "docs" / "methods" / f"{page}.md").is_file(), f"{method} has no page"
    assert small_form(method), f"{method} has no small form for parity"
    assert objective in REFERENCES, f"{method} names no NumPy reference"
    module, function = REFERENCES[objective]
    text = (ROOT / "tests" / "reference" / f"{module}.py").read_text(encoding="utf-8")
    assert re.search(rf"^def {function}\(", text, re.MULTILINE), f"{method} has no reference"
