"""The tables of `docs/reference/settings.md`, made from the spec when the site is built.

A line `<!-- settings: NAME -->` of the page is replaced by a table. Every key has an anchor, so
that a page or a person can link to it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from poc.shared.spec.bench import BenchSpec, Side
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.reading.allowed_values import write
from poc.shared.spec.reading.keys import list_keys, walk

Row = Mapping[str, Any]
MARK = re.compile(r"^<!-- settings: (\S+) -->$", re.MULTILINE)
# Field of a bench -> the option of `poc bench` that sets it.
BENCH_OPTIONS = {
    "num_processes": "--processes",
    "warmup_steps": "--warmup",
    "timed_steps": "--steps",
    "timed_seconds": "--seconds",
    "is_alone": "--alone",
}


def fill_settings(text: str) -> str:
    """Replace every mark of a page by its table.

    Raises:
        KeyError: A mark names no table.
    """
    tables = make_tables()
    return MARK.sub(lambda mark: tables[mark[1]], text)


def make_tables() -> dict[str, str]:
    """Every table by its name; the groups of a run's settings are named as their keys begin."""
    options = MODELS[METHODS["lightlayers"].default_model].options
    # The tables of the models list them.
    own = {f"model.{name}" for name in options.model_fields}
    groups: dict[str, list[Row]] = {}
    # Its default model has no convolution to factorise, so another one gives the example.
    shown = {row["key"]: row for row in list_keys("scratch", "resnet18")}["model.factors"]
    for row in list_keys("lightlayers"):
        row = shown if row["key"] == "model.factors" else row
        if row["key"] not in own:
            groups.setdefault(row["key"].rpartition(".")[0] or "run", []).append(row)
    return {
        **{name: write_table(rows) for name, rows in groups.items()},
        "methods": "\n".join(method_tables()),
        "models": "\n".join(model_tables()),
        "bench": write_table(bench_rows(), anchor="bench."),
        "side": write_table(walk(Side, ""), anchor="side."),
    }


def method_tables() -> Iterator[str]:
    """A heading and a table for each method."""
    for name in METHODS:
        rows = [row for row in list_keys(name) if row["key"].startswith("method_options.")]
        yield f"\n### `{name}`\n"
        yield write_table(rows, anchor=f"{name}.") if rows else "No options of its own.\n"


def model_tables() -> Iterator[str]:
    """A heading and a table for the models that take the same options."""
    sharing: dict[Any, list[str]] = {}
    for name, row in MODELS.items():
        sharing.setdefault(row.options, []).append(name)
    for options, names in sharing.items():
        yield f"\n### {', '.join(f'`{name}`' for name in names)}\n"
        yield write_table(walk(options, "model."), anchor=f"{names[0]}.")


def bench_rows() -> Iterator[Row]:
    """The numbers of a bench, named by the options that set them."""
    for row in walk(BenchSpec, ""):
        if row["key"] in BENCH_OPTIONS:
            option = BENCH_OPTIONS[row["key"]]
            shown = option if row["default"] is False else f"{option} {write(row['example'])}"
            yield {**row, "key": option, "shown": shown}


def write_table(rows: Iterable[Row], anchor: str = "") -> str:
    """A table of settings; `anchor` comes before the key in the name that a link uses."""
    lines = ['<div class="keys" markdown>', "", "| key | default | meaning |", "|---|---|---|"]
    for row in rows:
        key = row["key"]
        example = row.get("shown") or f"{key}={write(row['example'])}"
        default = "none" if row["default"] is None else f"`{write(row['default'])}`"
        cells = (
            f"`{key}`{{ #{(anchor + key).replace('--', '')} }}",
            "by the recipe" if row["by_recipe"] else default,
            f"{escape(row['description'])}<br>*allowed:* {escape(row['allowed'])}<br>"
            f"*example:* `{example}`",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "</div>", ""])


def escape(text: str) -> str:
    """The text without what Markdown would take for the end of a cell or for a tag.

    Not for code between backticks, which Markdown does not interpret.
    """
    return text.replace("|", "&#124;").replace("<", "&lt;")
