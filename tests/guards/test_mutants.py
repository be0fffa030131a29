"""The mutation check: each kind of change, by hand, and that a planted gap is told."""

from pathlib import Path

import pytest

from poc.benchmarks import mutants
from poc.benchmarks.mutants import Area, Mutant, draw, find_mutants, try_area

CODE = '''
"""A docstring with 3 words."""
def share(hits: int, total: int = 10) -> float:
    """Divide 1 by 2."""
    if total <= 0 or hits is None:
        raise ValueError(f"received {total - 1}")
    seen.append(hits)
    rows = [max(hit, 0) for hit in hits[1:] if hit]
    return -sum(rows) / total
'''
EXPECTED = {
    "10 -> 11",
    "total <= 0 -> total < 0",
    "0 -> 1",
    "hits is None -> hits is not None",
    "total <= 0 or hits is None -> total <= 0 and hits is None",
    "total <= 0 or hits is None -> not (total <= 0 or hits is None)",
    "seen.append(hits) -> pass",
    "max(hit, 0) -> min(hit, 0)",
    "1: -> 1 + 1:",
    "1 -> 2",
    "hit -> not hit",
    "-sum(rows) -> +sum(rows)",
    "-sum(rows) / total -> -sum(rows) * total",
}


def test_every_change_by_hand_and_none_of_docstrings_annotations_and_messages():
    found = list(find_mutants("made.py", CODE))
    assert {f"{mutant.before} -> {mutant.after}" for mutant in found} == EXPECTED
    assert len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        compile(mutant.source, "made.py", "exec")


def test_a_draw_depends_on_the_seed_alone():
    first, again, other = (draw("metrics", seed, 5) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({mutant.source for mutant in first}) == 5


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package of one module, and one test that looks at half of it."""
    root = tmp_path / "tree"
    root.mkdir()
    (tmp_path / "poc").symlink_to(root)
    for name in ("__init__.py", "pyproject.toml"):
        (root / name).touch()
    (root / "made.py").write_text(
        "def add(a, b):\n    return a + b\n\ndef wait(n):\n    return n\n"
    )
    (root / "test_made.py").write_text(
        "from poc.made import add, wait\n\ndef test_add():\n    assert add(2, wait(1)) == 3\n"
    )
    monkeypatch.setitem(mutants.AREAS, "made", Area(("made.py",), ("test_made.py",)))
    monkeypatch.setattr(mutants, "SECONDS_AT_MOST", 100)
    return root


def mutant(tree: Path, before: str, after: str) -> Mutant:
    return Mutant(
        "made.py", 1, before, after, (tree / "made.py").read_text().replace(before, after)
    )


def test_a_mutant_is_killed_by_a_test_or_by_time_and_a_survivor_is_told(tree, monkeypatch, capsys):
    former = (tree / "made.py").read_text()
    tried = [
        mutant(tree, "a + b", "a - b"),
        mutant(tree, "return n", "return abs(n)"),
        mutant(tree, "return n", "\n    while True: pass"),
    ]
    limits = iter([100.0, 100.0, 2.0])
    monkeypatch.setattr(mutants, "seconds_allowed", lambda seconds: next(limits))
    killers = [result.killer for result in try_area(tree, "made", tried)]
    assert killers == ["test_made.py::test_add", "", "timeout"]
    assert (tree / "made.py").read_text() == former
    assert "SURVIVED  made.py:1  return n  ->  return abs(n)" in capsys.readouterr().out


def test_tests_that_fail_without_a_change_kill_nothing(tree):
    (tree / "made.py").write_text("def add(a, b):\n    return 0\n\nwait = abs\n")
    with pytest.raises(SystemExit, match="fail on the unchanged copy"):
        list(try_area(tree, "made", []))
