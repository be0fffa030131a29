"""Labels of a report's rows, from the fewest settings that tell them apart, and their order."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import PurePath
from typing import NamedTuple

from poc.shared.spec.reading.cell_names import (
    differing_keys,
    identify,
    label_values,
    short_keys,
)
from poc.shared.spec.run import BACKENDS

Settings = Mapping[str, str]
# Labels try these first, in this order, then all other settings.
LEADING_KEYS = ("method", "model.name", "model.options.layer", "model.options.k", "backend")
# Tried last, because lists of classes are long.
CLASSES = "data.class_names"
# Prefix of the name of a sweep's axis.
AXIS = "axis."
LONG_NUMBER = re.compile(r"\d+\.\d{5,}")
# Settings that may be a path of one machine; it may come after a scheme, as in `folder:PATH`.
PATHS = (
    *("data.source", "data.split.file", "data.cache_folder"),
    *("initial_weights", "teacher.weights", "method_options.channels_file"),
)
SCHEME = re.compile(r"\w+:(?=/)")
MAX_DEPTH = 8
# Settings whose value is clear without their name: `tf`, not `backend=tf`.
PLAIN_KEYS = ("method", "model.name", "backend", "data.source")


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Flatten nested settings to dotted keys and values as text; None values are left out."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return found


class Label(NamedTuple):
    """A row's name, and the settings that it is sorted by, defaults included."""

    text: str
    words: tuple[str, ...]


def tell_apart(
    given: Sequence[Settings],
    full: Sequence[Settings],
    varied: Sequence[Mapping[str, object] | None] = (),
) -> list[Label]:
    """Return one label per row, from the fewest settings that tell all rows apart.

    Args:
        given: Settings of each row as the user gave them.
        full: The same settings with defaults. They are used if a label would otherwise be a part
            of another one, and then for both frameworks.
        varied: Settings that each row's sweep varied, or None for a row of no sweep. If every row
            has some, labels use them before settings that only follow from them.
    """
    given, full = (shorten_paths(rows, full) for rows in (given, full))
    axes = name_axes(varied) or [{} for _ in full]
    given = [{**row, **own} for row, own in zip(given, axes, strict=True)]
    full = [{**row, **own} for row, own in zip(full, axes, strict=True)]
    chosen = choose_keys(full)
    short = [label_parts(row, chosen) for row in given]
    whole = [label_parts(row, chosen) for row in full]
    settings = [
        tuple(set_aside(words, row.get("backend", "")))
        for words, row in zip(whole, full, strict=True)
    ]
    unclear = {
        setting
        for own, setting in zip(short, settings, strict=True)
        if is_part_of_another(own, short)
    }
    return [
        Label(" ".join(long if setting in unclear else own) or "defaults", tuple(long))
        for own, long, setting in zip(short, whole, settings, strict=True)
    ]


def shorten_paths(rows: Sequence[Settings], full: Sequence[Settings]) -> list[Settings]:
    """Name absolute paths by their last parts, as many as tell those of one setting apart.

    Args:
        rows: Settings of each row.
        full: The same with defaults, of which the paths are told apart.
    """
    names = {key: name_paths({row[key] for row in full if key in row}) for key in PATHS}
    return [
        {key: names.get(key, {}).get(value, value) for key, value in row.items()} for row in rows
    ]


def name_paths(values: Set[str]) -> dict[str, str]:
    """Map each value to its name; values that no depth tells apart keep their own."""
    for depth in range(1, MAX_DEPTH + 1):
        names = {value: cut_path(value, depth) for value in values}
        if len(set(names.values())) == len(names):
            return names
    return {value: value for value in values}


def cut_path(value: str, depth: int) -> str:
    """Return the last parts of an absolute path, after its scheme if it has one."""
    found = SCHEME.match(value)
    scheme = found[0] if found else ""
    path = PurePath(value.removeprefix(scheme))
    return scheme + "/".join(path.parts[1:][-depth:]) if path.is_absolute() else value


def name_axes(varied: Sequence[Mapping[str, object] | None]) -> list[Settings]:
    """Return each row's axes as settings, with values written as in the names of cells.

    Returns an empty list unless every row is of a sweep.
    """
    settings = [own for own in varied if own is not None]
    if len(settings) < len(varied):
        return []
    keys = differing_keys(settings)
    short = short_keys(keys)
    values = {key: label_values([row[key] for row in settings if key in row]) for key in keys}
    return [
        {f"{AXIS}{short[key]}": values[key][identify(row[key])] for key in keys if key in row}
        for row in settings
    ]


def choose_keys(full: Sequence[Settings]) -> list[str]:
    """Choose the settings that tell the rows apart, the most telling ones first.

    A setting is added only if it tells further rows apart.
    """
    present = {key for row in full for key in row}
    keys = [key for key in LEADING_KEYS if key in present]
    rest = sorted(present - {*LEADING_KEYS, CLASSES, "input_shape", "num_classes"})
    keys += sorted(rest, key=lambda key: not key.startswith(AXIS))
    keys.append(CLASSES)
    chosen: list[str] = []
    for key in keys:
        if num_kinds(full, [*chosen, key]) > num_kinds(full, chosen):
            chosen.append(key)
    return chosen or ["model.name", "backend"]


def num_kinds(settings: Iterable[Settings], keys: Sequence[str]) -> int:
    """Count the rows that these keys tell apart."""
    return len({tuple(row.get(key) for key in keys) for row in settings})


def label_parts(row: Settings, keys: Sequence[str]) -> list[str]:
    """Return the parts of a row's label: `["k=3", "tf"]`."""
    return [
        row[key] if key in PLAIN_KEYS else f"{last_part(key)}={shorten_numbers(row[key])}"
        for key in keys
        if key in row
    ]


def shorten_numbers(text: str) -> str:
    """Write the numbers of a list with six digits: counted class weights have sixteen."""
    if not text.startswith("["):
        return text
    return LONG_NUMBER.sub(lambda found: f"{float(found[0]):.6g}", text)


def last_part(key: str) -> str:
    """Return `k` of `model.options.k`, and the full name of an axis."""
    return key.removeprefix(AXIS) if key.startswith(AXIS) else key.rpartition(".")[2]


def is_part_of_another(own: Sequence[str], parts: Sequence[Sequence[str]]) -> bool:
    """Return whether another row's label has all parts of this one."""
    return sum(set(own) <= set(other) for other in parts) > 1


def place_row(words: Sequence[str], backend: str) -> tuple[object, ...]:
    """Return the sorting key of a row: settings word by word, numbers by size, then framework.

    The order depends neither on names of folders nor on the order in which they were given.
    """
    place = BACKENDS.index(backend) if backend in BACKENDS else len(BACKENDS)
    return [place_word(word) for word in set_aside(words, backend)], place


def set_aside(words: Sequence[str], backend: str) -> list[str]:
    """Return the words of a label without its framework."""
    return [word for word in words if word != backend]


def place_word(word: str) -> tuple[str, float, str]:
    """Return the sorting key of a word: its key, its value as a number, its value as text.

    Values that are no finite number come after all numbers.
    """
    key, _, value = word.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.inf
    return (key, number, "") if math.isfinite(number) else (key, math.inf, value)
