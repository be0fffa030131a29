"""Pictures of a report as inline SVG, each with the numbers that it shows.

Text and lines have the colours of the page around them, so that one picture suits a light and a
dark page. A picture is one panel or several: side by side on a desk, one below the other on a
phone. Class names are data: they are never interpreted as mathematics or markup.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from poc.shared.analysis.tables.table import Table
from poc.shared.engine.console.output import plain

# Stand-ins, because Matplotlib knows no CSS. The finished SVG has the page's colours instead.
INK, LINE = "#010203", "#010204"
PAGE_COLOURS = {INK: "currentColor", LINE: "var(--line)"}
# A picture in a file has no page around it that gives it colours. These are the same as in
# `report.html.jinja`.
PAPERS: Mapping[str, Mapping[str, str]] = {
    "light": {INK: "#1c2430", LINE: "#d5dae1"},
    "dark": {INK: "#e4e8ed", LINE: "#39424d"},
}
BACKEND_COLOURS = {"tf": "#d9822b", "torch": "#3d7edb"}
# Colours of everything else; no framework has one of them.
SEED_COLOURS = ("#2a9479", "#a45cc4", "#d0488f", "#8a8f98", "#5f8f2f", "#7a5c43")
SHADE = SEED_COLOURS[0]
# Inches; three of them are side by side on the page, one fills a phone.
PANEL_WIDTH = 4.0
# Inches of a panel of curves, without its title.
PANEL_HEIGHT = 1.95
POINTS_PER_INCH = 72
# Letters of a line across a panel; lines of a label; inches of a line.
LINE_LENGTH, MAX_LINES, LINE_HEIGHT = 42, 3, 0.15
SETTINGS: Any = {
    "svg.fonttype": "none",
    # Equal figures give equal bytes.
    "svg.hashsalt": "poc",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlecolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


class Mark(NamedTuple):
    """An entry of a legend: a colour and its meaning."""

    colour: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture: panels as SVG elements, a description, and the table of their numbers."""

    title: str
    panels: Sequence[str]
    description: str
    table: Table = field(repr=False)
    legend: Sequence[Mark] = ()

    @property
    def svg(self) -> str:
        """Return all panels as one text."""
        return "\n".join(self.panels)


def mark_backends(backends: Sequence[str]) -> list[Mark]:
    """Return the legend of the frameworks in `backends`."""
    return [Mark(colour, name) for name, colour in BACKEND_COLOURS.items() if name in backends]


def colour_backend(backend: str) -> str:
    """Return a framework's colour; grey for anything else."""
    return BACKEND_COLOURS.get(backend, SEED_COLOURS[3])


def make_shades() -> LinearSegmentedColormap:
    """Return a colour map from nearly transparent to the full shade."""
    shade = to_rgb(SHADE)
    return LinearSegmentedColormap.from_list("shades", [(*shade, 0.03), (*shade, 1.0)])


def fold(text: str, length: int = LINE_LENGTH) -> list[str]:
    """Wrap a text to at most three lines, and cut it if it is longer."""
    lines = textwrap.wrap(plain(text), length) or [""]
    rest = " ".join(lines[MAX_LINES - 1 :])
    return [*lines[: MAX_LINES - 1], *([shorten(rest, length)] if rest else [])]


def panel_height(titles: Sequence[str]) -> float:
    """Return the inches of a panel of curves with the longest title, for equally high panels."""
    return PANEL_HEIGHT + LINE_HEIGHT * max(len(fold(title)) for title in titles)


def shorten(text: str, length: int) -> str:
    """Cut a text to `length` characters."""
    text = plain(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def write_heading(axes: Axes, title: str, words: Sequence[Mark] = ()) -> None:
    """Write a panel's title and, below it, coloured words side by side, which no line crosses."""
    axes.set_title("\n".join(fold(title)), pad=19 if words else 6)
    for place, word in enumerate(words):
        axes.annotate(
            word.name,
            (place / len(words), 1),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            color=word.colour,
            va="bottom",
            fontsize=8.5,
        )


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches with the report's settings, without global state."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # The reader's browser draws the text, so a letter missing in this machine's font is fine.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, description: str) -> str:
    """Convert a figure to one SVG element with an accessible name.

    The element has its width in `--units`. The page shows a unit as at most 1.3 pixels, so that a
    small picture does not get large letters, and at least 1, so that a large one is legible.
    """
    svg = render(figure, description, PAGE_COLOURS)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    units = round(figure.get_figwidth() * POINTS_PER_INCH)
    return svg.replace("<svg", f'<svg style="--units: {units}"', 1)


def render(figure: Figure, description: str, colours: Mapping[str, str]) -> str:
    """Draw a figure as SVG in its own size, on a transparent background.

    Args:
        figure: The figure.
        description: Accessible name of the picture.
        colours: Stand-in -> colour: `PAGE_COLOURS`, or one of `PAPERS` for a file.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # A hundredth of a point is invisible; further digits are half of the file.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    for stand_in, colour in colours.items():
        svg = svg.replace(stand_in, colour)
    name = plain(description).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
