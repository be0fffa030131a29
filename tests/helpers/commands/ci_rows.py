"""Which tests the continuous integration alone runs: those that tests/ci.toml names."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
# File, then test: true, or patterns of its rows.
Table = dict[str, dict[str, bool | list[str]]]


def read_table() -> Table:
    """Return the table of tests/ci.toml."""
    return tomllib.loads((ROOT / "tests" / "ci.toml").read_text(encoding="utf-8"))


def is_for_ci(node: str, table: Table) -> bool:
    """Tell whether the table names a test, such as `tests/test_a.py::test_b[row]`."""
    file, name, row = split_node(node)
    patterns = table.get(file, {}).get(name, False)
    return patterns if isinstance(patterns, bool) else matches(row, patterns)


def split_node(node: str) -> tuple[str, str, str]:
    """Split the name of a test into its file, its function and its row, which may be empty."""
    file, _, test = node.partition("::")
    name, _, row = test.partition("[")
    return file, name, row.removesuffix("]")


def matches(row: str, patterns: Sequence[str]) -> bool:
    """Tell whether a row matches a pattern, and none after `!`."""
    kept = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    named = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(fits(row, pattern) for pattern in named) and not any(
        fits(row, pattern) for pattern in kept
    )


def fits(row: str, pattern: str) -> bool:
    """Tell whether a row is a pattern's text, where `*` stands for any."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), row, re.DOTALL) is not None


def find_stale(nodes: Sequence[str], table: Table) -> list[str]:
    """Return what the table names and no test has: files, tests and patterns, in order."""
    found = [split_node(node) for node in nodes]
    stale = []
    for file, tests in table.items():
        for name, patterns in tests.items():
            rows = [row for place, test, row in found if (place, test) == (file, name)]
            wanted = ["*"] if isinstance(patterns, bool) else patterns
            stale += [
                f"{file}::{name}[{pattern}]"
                for pattern in wanted
                if not any(fits(row, pattern.removeprefix("!")) for row in rows)
            ]
    return stale
