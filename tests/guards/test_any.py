"""`Any` turns the type checker off: in `shared` few lines may say it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What stays: frameworks and libraries without types, JSON where a file is read, options of click.
MAX_LINES = 200


def lines_with_any(folder: Path) -> list[str]:
    """`file:line` of each, as `grep -rwn Any` finds them."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\bAny\b", line)
    ]


def test_few_lines_say_any() -> None:
    found = lines_with_any(ROOT / "shared")
    assert len(found) <= MAX_LINES, f"{len(found)} lines, allowed are {MAX_LINES}: {found}"


def test_they_are_counted() -> None:
    """The one place that says it for all weight files is among them."""
    found = lines_with_any(ROOT / "shared" / "files")
    assert any(line.startswith("shared/files/arrays.py:") for line in found)
