"""A commented TOML file to start a config from: all settings with their defaults."""

import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from poc.shared.shown_names import plain
from poc.shared.spec.combinations import LORA_METHODS, PLAIN_UPDATE
from poc.shared.spec.fitted_heads import is_step
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run import RunSpec

from .allowed_values import write
from .config import full_key
from .keys import list_keys

WIDTH = 100
# Lines without a `#`: users change them first, and `poc run --config FILE` needs the backend.
ACTIVE = ("backend", "method", "data.source")


def write_starter(method: str, model: str | None = None, file: str = "FILE") -> str:
    """Write a config in which every line is a default, most of them behind a `#`.

    Keys are dotted, as in `--set`, so that each line can be used by itself: below a table's heading
    a line would belong to that table.

    Args:
        method: Method whose options are listed, with its defaults.
        model: Model whose options are listed; none: the method's default model.
        file: Name of the config in the commands of its header.

    Raises:
        UsageError: No such method or model, or the method cannot train the model.
    """
    named = {"method": method, "model": {"name": model or find_method(method).default_model}}
    RunSpec.parse(dict(named), "")
    active = ACTIVE if model is None else (*ACTIVE, "model.name")
    sections: dict[str, list[str]] = {"run": []}
    for row in list_keys(method, model):
        if is_for(method, row["key"]):
            title = row["key"].rpartition(".")[0] or "run"
            path = ".".join(full_key(row["key"], named))
            mark = "" if row["key"] in active else "#"
            value = method if row["key"] == "method" else row["default"]
            lines = [*describe_row(row), f"{mark}{path} = {write_value(value, row)}", ""]
            sections.setdefault(title, []).extend(lines)
    lines = [line for title in sections for line in (f"# ---- {title} ----", "", *sections[title])]
    return "\n".join([*write_header(method, file), "", *lines[:-1], ""])


def write_header(method: str, file: str) -> list[str]:
    """Write the commands that use the config, with the files that the method needs."""
    row = find_method(method)
    # One word for the shell and one line for TOML, whatever the name holds.
    file = plain(shlex.quote(file))
    needed = " --weights WEIGHTS" if row.fine_tuning else ""
    needed += " --teacher RUN_FOLDER" if row.distillation else ""
    text = (
        'Each line that starts with "#" and a key is a default: to change it, remove the # and '
        'write another value. A setting that is "left to the recipe" is chosen from the training '
        "images as long as its line starts with #."
    )
    return [
        f"# poc run --config {file}{needed}",
        f"# poc compare --config {file}{needed}   (both frameworks, whatever the backend below)",
        "#",
        *wrap(text),
    ]


def is_for(method: str, key: str) -> bool:
    """Return whether a method reads a key.

    Only methods that learn from a teacher read its keys; FixRes sets the size of the images itself,
    a method that takes its own steps has no plain update, and one that fits its head takes none.
    Two methods know LoRA.
    """
    row = find_method(method)
    group, _, name = key.partition(".")
    if row.owns_update and group == "optimizer" and name in PLAIN_UPDATE:
        return False
    if (row.fits_head and is_step(key)) or (group == "lora" and method not in LORA_METHODS):
        return False
    if key == "data.image_size" and row.fine_tuning is not None:
        return row.fine_tuning.image_side(row.options()) is None
    return not key.startswith("teacher.") or row.distillation is not None


def describe_row(row: Mapping[str, Any]) -> list[str]:
    """Write the comment above a setting: meaning, allowed values, and the effect of no value."""
    remark = ""
    if row["by_recipe"]:
        remark = " Left to the recipe."
    elif row["default"] is None:
        remark = " Left out by default; the line holds an example."
    return wrap(f"{row['description']} ({row['allowed']}).{remark}")


def write_value(default: Any, row: Mapping[str, Any]) -> str:
    """Write the default, or an example if the setting is left out by default."""
    return write(row["example"] if default is None else default)


def wrap(text: str) -> list[str]:
    """Write a comment in lines of at most 100 characters."""
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
