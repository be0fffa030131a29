"""The documents of a report: one HTML page and a Markdown file of the same content.

Names, such as those of classes and files, are data and are escaped everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from poc.shared.analysis.figures.drawing import Picture
from poc.shared.analysis.gallery.gallery import Gallery
from poc.shared.analysis.gallery.listing import album_tables, write_probability
from poc.shared.analysis.tables.markdown import escape, markdown_table
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.console.output import plain

from .method import METHOD

PAGE = "report.html.jinja"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of the documents, as plain text, tables and pictures."""

    title: str
    command: str
    written: str
    facts: Mapping[str, str]
    findings: Sequence[str]
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    confusions: Sequence[Picture]
    appendix: Sequence[Table]
    classes: Sequence[Table] = ()
    headline: Sequence[str] = ()
    overview: Sequence[Picture] = ()
    rates: Sequence[str] = ()
    rivals: Table | None = None
    gallery: Gallery | None = None
    suspects: Sequence[Table] = ()
    method: Sequence[str] = METHOD

    @property
    def sentences(self) -> list[str]:
        """Return the headline, with the rates of two classes after its first sentence."""
        return [*self.headline[:1], *self.rates, *self.headline[1:]]


def render_html(report: Report) -> str:
    """Render one page that loads nothing else; Jinja escapes every value but the SVG pictures."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    environment.filters["probability"] = write_probability
    return environment.get_template(PAGE).render(report=report)


def render_markdown(report: Report) -> str:
    """Render the same content as Markdown, with a table of numbers for each picture."""
    lines = [f"# {escape(report.title)}", ""]
    lines += [line for sentence in report.sentences for line in (escape(sentence), "")]
    lines += markdown_table(report.rivals) if report.rivals else []
    lines += [f"{escape(key)}: {escape(value)}  " for key, value in report.facts.items()]
    lines += ["", f"Written {report.written} by: {escape(report.command)}", ""]
    findings = [f"- {escape(finding)}" for finding in report.findings] or ["Nothing to warn of."]
    lines += ["## Findings", "", *findings, ""]
    for table in report.tables:
        lines += markdown_table(table)
    for picture in report.pictures:
        lines += [f"## {escape(picture.title)}", "", escape(picture.description), ""]
        lines += markdown_table(picture.table, level=3)
    lines += ["## Classes", ""] if report.classes else []
    for table in report.classes:
        lines += markdown_table(table, level=3)
    if report.confusions:
        lines += ["## Confusion matrices", "", "Counts, summed over runs.", ""]
    for picture in report.confusions:
        lines += [f"### {escape(picture.title)}", "", *markdown_table(picture.table, level=4)]
    lines += gallery_lines(report.gallery) if report.gallery else []
    for table in (*report.suspects, *report.appendix):
        lines += markdown_table(table)
    lines += ["## How the numbers are made", "", *(f"- {escape(line)}" for line in report.method)]
    return "\n".join(lines) + "\n"


def gallery_lines(gallery: Gallery) -> list[str]:
    """Return the gallery as Markdown: tables without pictures."""
    lines = ["## Images", "", *(f"{escape(remark)}\n" for remark in gallery.remarks)]
    for table in album_tables(gallery.albums):
        # Without an image there is nothing to list; the note says that there is none.
        alone = [f"### {escape(table.title)}", "", escape(table.note), ""]
        lines += markdown_table(table, level=3) if table.rows else alone
    return lines
