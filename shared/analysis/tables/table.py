"""A table that has no format yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

BLANKS = ("", "-")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Title, columns and cells as plain text, not yet escaped for any format."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: Sequence[str] = ()
    """Columns that hold words, not numbers."""
    is_stacked: bool = False
    """A phone shows each row as a list of its cells; other tables scroll sideways."""


def drop_silent_columns(table: Table) -> Table:
    """Return the table without the columns that are blank in every row; the first one stays."""
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
