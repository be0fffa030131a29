"""Parts of a card in Markdown: headings, paragraphs, lists, tables of facts, commands."""

from collections.abc import Iterable, Iterator, Mapping

from poc.shared.analysis.tables.markdown import escape, markdown_table
from poc.shared.analysis.tables.table import Table


def heading(text: str, level: int = 2) -> Iterator[str]:
    """Yield the lines of a heading."""
    yield from (f"{'#' * level} {escape(text)}", "")


def paragraphs(sentences: Iterable[str]) -> Iterator[str]:
    """Yield each text as a paragraph."""
    for sentence in sentences:
        yield from (escape(sentence), "")


def bullets(sentences: Iterable[str]) -> Iterator[str]:
    """Yield each text as an item of a list."""
    yield from (f"- {escape(sentence)}" for sentence in sentences)
    yield ""


def facts(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    """Yield a heading and a table of facts; those that are empty are left out."""
    cells = [[name, value] for name, value in rows.items() if value]
    yield from markdown_table(
        Table(title=title, columns=["", "value"], rows=cells, words=["value"])
    )


def commands(lines: Iterable[str]) -> Iterator[str]:
    """Yield a block of commands."""
    yield from ("```sh", *lines, "```", "")
