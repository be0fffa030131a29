"""Test of the tests: random small faults in the modules that compute numbers, drawn by a seed.

    python benchmarks/mutants.py --seed 1                 # eight mutants of each of five areas
    python benchmarks/mutants.py --seed 1 --list          # which ones, without running a test
    python benchmarks/mutants.py --seed 1 --area timing --count 20

Each mutant is one change at one place of one module, made in a copy of the tree. The test files of
its area run there with `-x`; a failing test or a run that takes too long kills it. It prints a line
per mutant; the exit code is 1 if one survives. A survivor shows a missing test, or is equivalent: a
change that no input can show.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("benchmarks", "configs", "docs", "shared", "tf_impl", "torch_impl", "tests")
ROOT_FILES = ("__init__.py", "cli.py", "pyproject.toml")
SECONDS_AT_MOST = 300


class Area(NamedTuple):
    """Modules to change, and the tests that should fail."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "statistics": Area(
        ("shared/analysis/statistics/intervals.py",),
        (
            "tests/shared/analysis/statistics/test_intervals.py",
            "tests/shared/analysis/verdicts/test_findings.py",
        ),
    ),
    "metrics": Area(
        ("shared/engine/numerics/metrics.py",),
        (
            "tests/shared/engine/numerics/test_metrics.py",
            "tests/shared/data/views/test_object_size.py",
        ),
    ),
    "splits": Area(
        ("shared/data/splits/split.py", "shared/data/splits/partition.py"),
        ("tests/shared/data/splits/test_split.py", "tests/shared/data/splits/test_partition.py"),
    ),
    "resume": Area(
        (
            "shared/engine/folder/loop_state.py",
            "shared/engine/folder/checkpoints.py",
            "shared/engine/folder/save_schedule.py",
            "shared/engine/training/best_weights.py",
        ),
        (
            "tests/shared/engine/numerics/test_metrics.py",
            "tests/faults/test_resume.py",
            "tests/faults/test_disk.py",
        ),
    ),
    "timing": Area(
        (
            "shared/analysis/timing/intervals.py",
            "shared/analysis/timing/samples.py",
            "shared/engine/timing/stopwatch.py",
            "shared/engine/timing/rounds.py",
        ),
        (
            "tests/shared/analysis/timing/test_intervals.py",
            "tests/shared/engine/timing/test_rounds.py",
            "tests/shared/analysis/timing/test_seal.py",
        ),
    ),
}

SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
}
CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "mean": "median",
    "median": "mean",
    "floor": "ceil",
    "argmax": "argmin",
    "argmin": "argmax",
    "maximum": "minimum",
    "sorted": "list",
}


class Mutant(NamedTuple):
    """One change: its place, the code before and after, and the source of the changed module."""

    module: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """Return the place and the change in one line."""
        return f"{self.module}:{self.line}  {shorten(self.before)}  ->  {shorten(self.after)}"


class Result(NamedTuple):
    """Fate of a mutant; `killer` is a test, `timeout`, or empty for a survivor."""

    mutant: Mutant
    killer: str
    seconds: float


def main() -> int:
    """Draw mutants, run their tests and print the results; return 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=8, help="mutants of each area")
    parser.add_argument("--area", choices=AREAS, action="append", help="default: all")
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    arguments = parser.parse_args()
    areas = arguments.area or list(AREAS)
    drawn = {area: draw(area, arguments.seed, arguments.count) for area in areas}
    if arguments.list:
        for area, mutants in drawn.items():
            print(*(f"{area}  {mutant.name}" for mutant in mutants), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        results = [result for area in areas for result in try_area(tree, area, drawn[area])]
    num_killed = sum(bool(result.killer) for result in results)
    print(f"seed {arguments.seed}: {num_killed} of {len(results)} mutants killed")
    return int(num_killed < len(results))


def draw(area: str, seed: int, count: int, root: Path = ROOT) -> list[Mutant]:
    """Draw `count` different mutants of an area, all equally likely."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in AREAS[area].modules}
    sites = [(name, *site) for name, text in texts.items() for site in find_sites(ast.parse(text))]
    drawn = random.Random(f"{seed}/{area}").sample(sites, count)
    return [make_mutant(name, texts[name], *site) for name, *site in drawn]


def find_mutants(module: str, source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its syntax tree."""
    return [make_mutant(module, source, *site) for site in find_sites(ast.parse(source))]


def find_sites(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Yield (place of a node in `ast.walk`, number of its change) for every change."""
    fixed = set(unchanged_nodes(tree))
    for place, node in enumerate(ast.walk(tree)):
        if node not in fixed:
            yield from ((place, number) for number in range(len(list(changes(node)))))


def make_mutant(module: str, source: str, place: int, number: int) -> Mutant:
    """Return the module with one change."""
    tree = ast.parse(source)
    change = list(changes(list(ast.walk(tree))[place]))[number]
    line, before = change.line, change.text
    change.make()
    return Mutant(module, line, before, change.text, ast.unparse(ast.fix_missing_locations(tree)))


def unchanged_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that affect no number: annotations, docstrings, error messages, imports."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        if isinstance(node, ast.FunctionDef):
            parts.append(node.returns)
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            parts += list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.append(node)
        for part in parts:
            if part is not None:
                yield from ast.walk(part)


def changes(node: ast.AST) -> Iterator["Change"]:
    """Yield every change that can be made at a node."""
    if isinstance(node, ast.Compare):
        yield from (Change(node, "ops", number) for number in range(len(node.ops)))
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        yield Change(node, "op")
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield Change(node, "value")
    if isinstance(node, ast.Call) and is_swappable(node):
        yield Change(node, "func")
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield Change(node, "test")
    if isinstance(node, ast.comprehension) and node.ifs:
        yield Change(node, "ifs")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield Change(node, "op")
    if isinstance(node, ast.Slice):
        yield from (Change(node, name) for name in ("lower", "upper") if getattr(node, name))
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.With | ast.While):
        yield from (
            Change(node, "body", number)
            for number, statement in enumerate(node.body)
            if is_removable(statement)
        )


class Change(NamedTuple):
    """A change of one field of a node, or of one item of a list there."""

    node: Any
    field: str
    number: int = 0

    @property
    def part(self) -> Any:
        """Return the smallest piece of code that shows the change."""
        value = getattr(self.node, self.field)
        return value[self.number] if self.field in ("ifs", "body") else self.node

    @property
    def line(self) -> int:
        """Return the line number of the part."""
        return int(self.part.lineno)

    @property
    def text(self) -> str:
        """Return the code of the part; for a branch or a loop only its condition."""
        part = self.node.test if self.field == "test" else self.part
        return ast.unparse(part)

    def make(self) -> None:
        """Change the node in place."""
        node, value = self.node, getattr(self.node, self.field)
        if isinstance(value, list):
            value[self.number] = changed_item(value[self.number])
        elif self.field in ("lower", "upper"):
            setattr(node, self.field, ast.BinOp(value, ast.Add(), ast.Constant(1)))
        elif self.field == "value":
            node.value = not value if isinstance(value, bool) else value + 1
        elif self.field == "op":
            node.op = SWAPS[type(value)]()
        elif self.field == "test":
            node.test = ast.UnaryOp(ast.Not(), value)
        elif isinstance(value, ast.Attribute):
            value.attr = CALLS[value.attr]
        else:
            value.id = CALLS[value.id]


def changed_item(item: Any) -> ast.AST:
    """Return the replacement of a comparison's operator, a filter or a statement."""
    if isinstance(item, ast.cmpop):
        return SWAPS[type(item)]()
    if isinstance(item, ast.expr):
        return ast.copy_location(ast.UnaryOp(ast.Not(), item), item)
    return ast.copy_location(ast.Pass(), item)


def is_swappable(node: ast.Call) -> bool:
    """Return true if the call has a counterpart that takes the same arguments."""
    if isinstance(node.func, ast.Name):
        return node.func.id in CALLS and not (node.func.id == "sorted" and node.keywords)
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in CALLS:
        return False
    # Arrays have no method `median`.
    is_function = isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
    return is_function or node.func.attr not in ("mean", "floor")


def is_removable(statement: ast.stmt) -> bool:
    """Return true for a call, an addition in place, or a store into other than a single name."""
    is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    is_store = isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Name)
    return is_call or is_store or isinstance(statement, ast.AugAssign)


def shorten(text: str, length: int = 60) -> str:
    """Return the text in one line, cut to a length."""
    line = re.sub(r"\s+", " ", text)
    return line if len(line) <= length else line[: length - 1] + "…"


def copy_tree(folder: Path) -> Path:
    """Copy the package; return its folder.

    A link named `poc` next to it makes Python import the copy, not the installed package.
    """
    tree = folder / "tree"
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ROOT_FILES:
        shutil.copy2(ROOT / name, tree / name)
    (folder / "poc").symlink_to(tree)
    return tree


def try_area(tree: Path, area: str, mutants: Sequence[Mutant]) -> Iterator[Result]:
    """Run the tests of an area without a change, then with each of its mutants.

    Raises:
        SystemExit: The tests fail without a change.
    """
    killer, seconds = run_tests(tree, AREAS[area].tests, SECONDS_AT_MOST)
    if killer:
        raise SystemExit(f"{area}: the tests fail on the unchanged copy ({killer})")
    print(f"{area}: tests take {seconds:.0f} s unchanged", flush=True)
    for mutant in mutants:
        path = tree / mutant.module
        former = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            killer, spent = run_tests(tree, AREAS[area].tests, seconds_allowed(seconds))
        finally:
            path.write_text(former, encoding="utf-8")
        print(
            f"{'killed  ' if killer else 'SURVIVED'}  {mutant.name}  by {killer or '-'}", flush=True
        )
        yield Result(mutant, killer, spent)


def seconds_allowed(seconds: float) -> float:
    """Return the seconds after which a mutant hangs; `seconds` is the time without a change."""
    return min(SECONDS_AT_MOST, 30 + 5 * seconds)


def run_tests(tree: Path, tests: Sequence[str], seconds: float) -> tuple[str, float]:
    """Run tests; return the first that fails, `timeout` or an empty text, and the seconds."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-m", "not slow", "--tb=no"]
    command += ["-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree.parent), "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, timeout=seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return "timeout", seconds
    spent = time.monotonic() - started
    if done.returncode == 0:
        return "", spent
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1].removeprefix("tests/") if failed else f"exit {done.returncode}", spent


if __name__ == "__main__":
    sys.exit(main())
