"""Labels of a report's rows: the fewest settings that tell them apart; and the rows' order."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from poc.shared.spec.reading.cell_names import (
    differing_keys,
    identify,
    label_values,
    short_keys,
)
from poc.shared.spec.run import BACKENDS

Settings = Mapping[str, str]
# Labels name these first; then whatever else tells two rows apart.
LEADING_KEYS = ("method", "model.name", "model.options.layer", "model.options.k", "backend")
# Told only where nothing else tells two rows apart.
CLASSES = "data.class_names"
# Before the name of an axis of a sweep.
AXIS = "axis."
PLAIN_KEYS = ("method", "model.name", "backend", "data.source")


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and written values."""
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
    """One label a row from the fewest settings that tell all rows apart.

    Args:
        given: What each run was told.
        full: The same with defaults; read where a label would otherwise be a part of another one,
            then for both frameworks.
        varied: What each row's sweep varied, none where it is of none. If all are of one, its keys
            are told before values that only follow from them.
    """
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


def name_axes(varied: Sequence[Mapping[str, object] | None]) -> list[Settings]:
    """Each row's axes as settings whose values are written as in the names of cells."""
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
    """The fewest settings that tell the rows apart, the telling ones first."""
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
    """How many rows these keys tell apart."""
    return len({tuple(row.get(key) for key in keys) for row in settings})


def label_parts(row: Settings, keys: Sequence[str]) -> list[str]:
    """`["k=3", "tf"]`."""
    return [
        row[key] if key in PLAIN_KEYS else f"{last_part(key)}={row[key]}"
        for key in keys
        if key in row
    ]


def last_part(key: str) -> str:
    """`k` of `model.options.k`; the name of an axis as it is."""
    return key.removeprefix(AXIS) if key.startswith(AXIS) else key.rpartition(".")[2]


def is_part_of_another(own: Sequence[str], parts: Sequence[Sequence[str]]) -> bool:
    """Whether all that a label says is said by another row's label too."""
    return sum(set(own) <= set(other) for other in parts) > 1


def place_row(words: Sequence[str], backend: str) -> tuple[object, ...]:
    """What rows are sorted by: their settings word by word, numbers by size, then the framework.

    So the order depends neither on names of folders nor on the order in which they were given.
    """
    place = BACKENDS.index(backend) if backend in BACKENDS else len(BACKENDS)
    return [place_word(word) for word in set_aside(words, backend)], place


def set_aside(words: Sequence[str], backend: str) -> list[str]:
    """The words of a label without its framework."""
    return [word for word in words if word != backend]


def place_word(word: str) -> tuple[str, float, str]:
    """A word of a label: its key, its value where that is a number, and its value as text."""
    key, _, value = word.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.inf
    return (key, number, "") if math.isfinite(number) else (key, math.inf, value)
