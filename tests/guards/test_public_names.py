"""`import poc` is light and lazy; every public name is there, typed and documented."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import poc

ROOT = Path(__file__).parents[2]
# Modules that take long to import: none may come with the package itself.
HEAVY = {"numpy", "pandas", "pydantic", "PIL", "click", "keras", "tensorflow", "torch"}
MAX_SECONDS = 0.1


def run_python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=120
    )


def import_seconds(printed: str, module: str) -> float:
    """What `-X importtime` says of a module and all that it imports, in seconds."""
    line = rf"^import time: +\d+ \| +(\d+) \| +{re.escape(module)}$"
    return int(re.findall(line, printed, re.MULTILINE)[0]) / 1e6


def test_the_package_imports_fast_and_nothing_heavy() -> None:
    code = "import poc, sys; print(*sys.modules)"
    # The fastest of a few: other programs of the machine only make it slower.
    done = [run_python("-X", "importtime", "-c", code) for _ in range(3)]
    assert set(done[0].stdout.split()) & HEAVY == set()
    assert min(import_seconds(each.stderr, "poc") for each in done) < MAX_SECONDS


def test_a_slow_import_would_be_seen() -> None:
    done = run_python("-X", "importtime", "-c", "import poc.shared.api.runs")
    assert import_seconds(done.stderr, "poc.shared.api.runs") > MAX_SECONDS


def test_names_are_listed_before_they_are_used() -> None:
    code = "import poc; print(*dir(poc))"
    assert set(poc.__all__) <= set(run_python("-c", code).stdout.split())
    assert poc.__all__ == sorted(poc.__all__)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        poc.train  # noqa: B018
    assert not hasattr(poc, "api")


def test_types_see_the_same_names() -> None:
    """What type checkers and editors read is what `__getattr__` finds."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        name.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert sorted(typed) == poc.__all__
    for name, module in typed.items():
        assert getattr(poc, name).__module__ == module


@pytest.mark.parametrize("name", poc.__all__)
def test_every_name_is_documented(name: str) -> None:
    found = getattr(poc, name)
    text = inspect.getdoc(found) or ""
    assert re.match(r"[A-Z`].*[.:]\n", f"{text}\n"), name
    if inspect.isfunction(found):
        parameters = {
            key
            for key, value in inspect.signature(found).parameters.items()
            if value.kind is not value.VAR_KEYWORD
        }
        described = set(re.findall(r"^    (\w+): ", text, re.MULTILINE))
        assert parameters - described == set()
        for heading in ("Args:", "Raises:"):
            assert heading in text, f"{name} has no {heading}"
