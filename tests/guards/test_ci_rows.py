"""tests/ci.toml names tests that are there, and `make test` leaves them out."""

import subprocess
import sys

import pytest

from poc.tests.helpers.commands.ci_rows import ROOT, find_stale, is_for_ci, read_table

TABLE = {
    "tests/a.py": {"test_all": True, "test_rows": ["tf-*", "*wide", "!tf-small*"]},
}


@pytest.fixture(scope="module")
def nodes():
    """All tests of the files that the table names."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *read_table()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_line_names_tests(nodes):
    # A file that an optional package skips as a whole has none.
    found = {node.partition("::")[0] for node in nodes}
    table = {file: tests for file, tests in read_table().items() if file in found}
    assert find_stale(nodes, table) == []
    assert all((ROOT / file).is_file() for file in read_table())
    assert len(found) > 40


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("tests/a.py::test_all", True),
        ("tests/a.py::test_all[row]", True),
        ("tests/a.py::test_rows[tf-large]", True),
        ("tests/a.py::test_rows[torch-wide]", True),
        ("tests/a.py::test_rows[tf-small, wide]", False),
        ("tests/a.py::test_rows[torch-large]", False),
        ("tests/a.py::test_other", False),
        ("tests/b.py::test_all", False),
    ],
)
def test_which_tests_are_named(node, expected):
    assert is_for_ci(node, TABLE) is expected


def test_a_row_may_have_any_sign():
    table = {"tests/a.py": {"test_rows": ["a [b] (c)*"]}}
    assert is_for_ci("tests/a.py::test_rows[a [b] (c) d]", table)
    assert not is_for_ci("tests/a.py::test_rows[a b (c)]", table)


def test_what_is_gone_is_found():
    nodes = ["tests/a.py::test_rows[tf-large]", "tests/a.py::test_rows[torch-wide]"]
    assert find_stale(nodes, TABLE) == [
        "tests/a.py::test_all[*]",
        "tests/a.py::test_rows[!tf-small*]",
    ]


def test_the_marker_is_set(request):
    """The hook of conftest.py sees what this process collected, this file at least."""
    table = read_table()
    for item in request.session.items:
        assert bool(item.get_closest_marker("ci")) == is_for_ci(item.nodeid, table)
