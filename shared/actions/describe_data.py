"""`poc data`: tables and pictures of a source, and the checks of a stored split."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from poc.shared.data.sources.description import Quantiles, SourceFacts, describe_source
from poc.shared.data.sources.table import SCHEMES, open_source
from poc.shared.data.splits.files import parse_definition, read_list
from poc.shared.data.splits.leaks import Leak, find_leaks
from poc.shared.data.splits.relabelling import open_classes
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.files.collisions import holds, refuse_existing, write_once
from poc.shared.shown_names import plain
from poc.shared.spec.columns import ColumnsSpec
from poc.shared.spec.data import DataSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR_WIDTH = 30
MAX_NAMED = 20
MAX_LABELLED_CLASSES = 40


def list_sources() -> list[dict[str, str]]:
    """List every kind of source: the form that `--data` takes, and a summary."""
    return [{"form": row.form, "summary": row.summary} for row in SCHEMES.values()]


def read_facts(spec: DataSpec, output: Path | None = None) -> SourceFacts:
    """Read the facts of a source, with its problems; draw two pictures if `output` is given."""
    facts = describe_source(open_classes(spec.model_copy(update={"on_error": "skip"})))
    if output is not None:
        facts["pictures"] = [str(path) for path in draw_facts(facts, output)]
    return facts


def store_split(spec: DataSpec, output: Path) -> Split:
    """Make the split that a spec describes and write its definition.

    Raises:
        UsageError: The split cannot be made, the file cannot be written, or another one is there.
    """
    split = make_split(open_classes(spec), spec.split)
    try:
        write_once(output, split.to_json().encode())
    except OSError as error:
        raise UsageError(
            f"Got --output {str(output)!r}, which cannot be written ({error.strerror}). Expected a "
            "file in a folder that exists. Try --output split.json, or make the folder first."
        ) from None
    return split


def check_split(
    path: Path, source: str | None = None, group_pattern: str | None = None
) -> tuple[Split, list[Leak]]:
    """Load a stored split against its source and look for leaks.

    Args:
        path: File of `poc data split`.
        source: New place of the data; none: the place that the split records.
        group_pattern: Pattern of the groups to look for; none: that of the definition.

    Raises:
        UsageError: The file does not exist, is not a split, or was made from other data.
    """
    try:
        text = read_list(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Got {str(path)!r}, which cannot be read ({error}). Expected a file that "
            "`poc data split` wrote. Try `poc data split --output FILE`, which writes one."
        ) from None
    stored = parse_definition(text)
    # Read the files again: the fingerprints that an earlier reading cached would prove nothing.
    columns = ColumnsSpec.parse(stored.columns, "columns") if stored.columns else None
    reopened = open_source(source or stored.source, on_error="skip", is_anew=True, columns=columns)
    split = Split.from_json(text, reopened)
    return split, find_leaks(split, group_pattern)


def facts_tables(facts: SourceFacts) -> list[Table]:
    """Return the tables of a source: classes, sizes and other facts."""
    return [class_table(facts), size_table(facts), notes_table(facts)]


def class_table(facts: SourceFacts) -> Table:
    """Return a table with a line per class: examples in each published part, in all, a bar."""
    parts = facts["parts"]
    table = Table(title=f"Classes of {plain(facts['source'])}", title_justify="left", box=None)
    for name in ("class", *parts, "examples", ""):
        table.add_column(name, justify="left" if name in ("class", "") else "right")
    largest = max(facts["counts"].values())
    for name, count in facts["counts"].items():
        row = [f"{parts[part][name]:,}" for part in parts]
        table.add_row(plain(name), *row, f"{count:,}", bar(count, largest))
    totals = [f"{sum(parts[part].values()):,}" for part in parts]
    table.add_row(f"{facts['num_classes']} classes", *totals, f"{facts['num_examples']:,}", "")
    return table


def size_table(facts: SourceFacts) -> Table:
    """Return a histogram of the shorter side of the images, in pixels."""
    histogram = facts["sizes"]["histogram"]
    table = Table(title="Shorter side, pixels", title_justify="left", box=None)
    for name in ("from", "to", "images", ""):
        table.add_column(name, justify="left" if not name else "right")
    largest = max(histogram["counts"])
    edges = histogram["edges"]
    for low, high, count in zip(edges, edges[1:], histogram["counts"], strict=False):
        table.add_row(str(low), str(high - 1), f"{count:,}", bar(count, largest))
    return table


def notes_table(facts: SourceFacts) -> Table:
    """Return a table of the other facts, one line each."""
    balance, duplicates = facts["balance"], facts["duplicates"]
    rows = {
        "channels": "grey" if facts["channels"] == 1 else "RGB",
        "height": spread(facts["sizes"]["height"]),
        "width": spread(facts["sizes"]["width"]),
        "width_over_height": spread(facts["sizes"]["width_over_height"]),
        "majority baseline": f"{balance['majority_accuracy']:.4f} "
        f"({plain(balance['largest_class'])})",
        "largest over smallest class": f"{balance['largest_over_smallest']:.2f}",
        "contents that occur twice": f"{duplicates['num_contents']} "
        f"({duplicates['num_across_parts']} across parts, "
        f"{duplicates['num_across_classes']} across classes)",
        "unreadable files": named(
            [f"{file}: {reason}" for file, reason in facts["unreadable"].items()]
        ),
        "empty classes": named(facts["empty_classes"]),
        "files left out": named_by_suffix(facts["ignored"], facts["ignored_by_suffix"]),
        "links in circles": named(facts["loops"]),
        "folders not used": named(facts["unused_folders"]),
        "fingerprint": facts["fingerprint"][:16],
    }
    table = Table(title="Facts", title_justify="left", box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def bar(count: int, largest: int) -> str:
    """Draw a bar in text, at least one mark long if the count is not zero."""
    return "█" * (max(round(BAR_WIDTH * count / largest), 1) if count else 0)


def spread(values: Quantiles) -> str:
    """Write the smallest, the largest and the median value."""
    return f"{values['min']:g} to {values['max']:g}, median {values['median']:.4g}"


def named(names: Sequence[str]) -> str:
    """Write a count and the first names."""
    shown = [plain(name) for name in names[:MAX_NAMED]]
    rest = f"\n… and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return "\n".join([str(len(names)), *shown]) + rest


def named_by_suffix(names: Sequence[str], counts: Mapping[str, int]) -> str:
    """Write a count, the count of each suffix, and the first names."""
    if not names:
        return "0"
    count, *lines = named(names).split("\n")
    suffixes = ", ".join(f"{number:,} {plain(suffix)}" for suffix, number in counts.items())
    return "\n".join([f"{count} ({suffixes})", *lines])


def draw_facts(facts: SourceFacts, output: Path) -> list[Path]:
    """Draw two pictures: the examples per class, and the shorter sides.

    Raises:
        UsageError: Another file has one of their names, or the folder cannot be written.
    """
    contents = {output / name: content for name, content in render_facts(facts).items()}
    for path, content in contents.items():
        if not holds(path, content):
            refuse_existing(path, instead="another folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            write_once(path, content)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            "a folder that you may write to. Try --output ~/pictures, in your home."
        ) from None
    return list(contents)


def render_facts(facts: SourceFacts) -> dict[str, bytes]:
    """Return the pictures as PNG files: name -> bytes. The same facts give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    counts = dict(sorted(facts["counts"].items(), key=lambda item: -item[1]))
    histogram = facts["sizes"]["histogram"]
    # Class names are data: a `$` is no formula, and a letter that the font lacks becomes a box.
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figures = {
            name: Figure((6, 3.5), layout="constrained")
            for name in ("class_counts.png", "image_sizes.png")
        }
        axes = figures["class_counts.png"].add_subplot(
            title="Examples per class", xlabel="class, largest first", ylabel="examples"
        )
        axes.bar(range(len(counts)), list(counts.values()))
        is_labelled = len(counts) <= MAX_LABELLED_CLASSES
        names = [plain(name) for name in counts] if is_labelled else []
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 8 else 0)
        axes = figures["image_sizes.png"].add_subplot(
            title="Image sizes", xlabel="shorter side, pixels", ylabel="images"
        )
        axes.stairs(histogram["counts"], histogram["edges"], fill=True)
        return {name: save_png(figure, dpi=80) for name, figure in figures.items()}


def save_png(figure: "Figure", dpi: int) -> bytes:
    """Return a figure as a PNG file, without the name and version of the program.

    With them, a new matplotlib would make the same picture a different file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def split_table(split: Split) -> Table:
    """Return a table of examples, with a line per class and a column per part."""
    title = f"Split of {plain(split.source.name)}"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("class")
    for part in split.parts:
        table.add_column(part, justify="right")
    counts = [split.source.count_classes(indices) for indices in split.parts.values()]
    for label, name in enumerate(split.source.class_names):
        table.add_row(plain(name), *(f"{count[label]:,}" for count in counts))
    table.add_row("all", *(f"{len(indices):,}" for indices in split.parts.values()))
    return table


def split_facts(split: Split, leaks: Sequence[Leak] = ()) -> dict[str, object]:
    """Return a split as JSON values, without the ids of its examples."""
    definition = json.loads(split.to_json())
    kept = ("source", "spec", "fingerprint", "counts")
    return {**{key: definition[key] for key in kept}, "leaks": [leak.to_json() for leak in leaks]}
