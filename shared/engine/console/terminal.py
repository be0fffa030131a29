"""The only way to Rich, through which everything is printed as text and never as markup.

Names of classes, paths and error texts are data: `[red]` and `:cat:` are shown unchanged, and signs
that would command the terminal are replaced.
"""

from typing import Any

from rich.console import Console
from rich.text import Text

from .output import plain_lines


class Terminal(Console):
    """A console that reads neither markup nor emoji codes, and shows no control characters."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make any string that Rich shows plain: cells, headings, titles, lines."""
        return super().render_str(plain_lines(text), **settings)


def open_output() -> Terminal:
    """Return standard output, which folds lines in a terminal only."""
    terminal = Terminal()
    # Without a terminal Rich assumes 80 columns, and would fold the rows of a table.
    return terminal if terminal.is_terminal else Terminal(width=200)
