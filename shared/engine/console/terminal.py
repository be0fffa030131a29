"""The one door to Rich: what is printed through it is text, and never markup.

Names of classes, paths and error texts are data: `[red]` and `:cat:` are shown as they stand, and
signs that would command the terminal are replaced.
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
        """Every string that Rich shows passes here: cells, headings, titles, lines."""
        return super().render_str(plain_lines(text), **settings)


def open_output() -> Terminal:
    """Standard output; to a file or a pipe nothing is folded."""
    terminal = Terminal()
    return terminal if terminal.is_terminal else Terminal(width=200)
