"""Tables as Markdown."""

import html
import re

from poc.shared.engine.console.output import plain

from .table import Table

# An underline between letters or digits, as in `batch_size`, is text: it stays, for readers of the
# plain file.
MARKDOWN_SIGNS = re.compile(r"[\\`*\[\]|$~]|(?<![^\W_])_|_(?![^\W_])")


def markdown_table(table: Table, level: int = 2) -> list[str]:
    """Return the lines of a heading, a pipe table and its note."""
    lines = [f"{'#' * level} {escape(table.title)}", ""]
    lines.append("| " + " | ".join(escape(column) for column in table.columns) + " |")
    lines.append("|" + "".join(rule(column, table) for column in table.columns))
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in table.rows]
    return [*lines, "", *([escape(table.note), ""] if table.note else [])]


def rule(column: str, table: Table) -> str:
    """Return the line under a column's heading: words are aligned left, numbers right."""
    return " :-- |" if column in table.words or column == table.columns[0] else " --: |"


def escape(text: str) -> str:
    """Escape text, so that Markdown, and the HTML inside it, show it unchanged."""
    text = html.escape(plain(text.replace("\n", " ")), quote=False)
    return MARKDOWN_SIGNS.sub(lambda found: f"&#{ord(found[0])};", text)
