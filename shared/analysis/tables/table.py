"""A table before it has a format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

BLANKS = ("", "-")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are read, not yet escaped for any format."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: Sequence[str] = ()
    """Columns that hold words, not numbers."""
    is_stacked: bool = False
    """Whether a phone shows a row as a list of its cells; others scroll sideways."""


def drop_silent_columns(table: Table) -> Table:
    """The table without the columns that say nothing in any row."""
    places = [
        place
        for place in range(len(table.columns))
        if place == 0 or any(row[place] not in BLANKS for row in table.rows)
    ]
    return replace(
        table,
        columns=[table.columns[place] for place in places],
        rows=[[row[place] for place in places] for row in table.rows],
    )
