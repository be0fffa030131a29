"""Files that hold a split, and their checks: a stored definition, or a CSV of ids and parts.

Ids are compared in Unicode's composed form (NFC), since other systems write accents in two pieces.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from poc.shared.data.sources.base import PARTITIONS, Indices, Parts, Source
from poc.shared.errors import UsageError
from poc.shared.files.regular_files import read_regular

FORMAT = "poc split 1"
NUM_NAMED = 5
# Of a digest, in hexadecimal: 64 bits are enough to tell a million images apart.
NUM_DIGITS = 16


def read_list(path: Path) -> str:
    """Read a file's text in composed form, without the byte order mark that Excel puts first.

    Raises:
        OSError, ValueError: The file cannot be read, is no regular file, or is not UTF-8.
    """
    content, _ = read_regular(path)
    return unicodedata.normalize("NFC", content.decode("utf-8-sig"))


class StoredSplit(NamedTuple):
    """The content of a split's file: `contents` id -> digest, `parts` name -> ids.

    `columns` are those of a CSV file of labels, empty for other sources.
    """

    source: str
    spec: dict[str, object]
    fingerprint: str
    contents: dict[str, str]
    parts: dict[str, list[str]]
    columns: dict[str, object]


def parse_definition(text: str) -> StoredSplit:
    """Parse a stored definition.

    Raises:
        UsageError: The text is no definition that this version wrote.
    """
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"Got a split file that is no JSON ({error}). Expected a file that poc wrote. Try "
            "making it again."
        ) from None
    needed = {"format", "source", "spec", "fingerprint", "contents", *PARTITIONS}
    if (
        not isinstance(stored, dict)
        or stored.get("format") != FORMAT
        or needed - stored.keys()
        or not holds_texts(stored)
    ):
        raise UsageError(
            f"Got a file that is no split of format {FORMAT!r}. Expected a file that poc "
            "wrote. Try making it again."
        )
    return StoredSplit(
        source=stored["source"],
        spec=stored["spec"],
        fingerprint=str(stored["fingerprint"]),
        contents=stored["contents"],
        parts={part: stored[part] for part in PARTITIONS},
        columns=stored.get("columns", {}),
    )


def holds_texts(stored: Mapping[str, object]) -> bool:
    """Return True if parts, contents and spec have the types that `Split.to_json` writes."""
    parts = [stored[part] for part in PARTITIONS]
    return (
        isinstance(stored["contents"], dict)
        and isinstance(stored["source"], str)
        and isinstance(stored["spec"], dict)
        and isinstance(stored.get("columns", {}), dict)
        and all(
            isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts
        )
    )


def check_source(contents: Mapping[str, str], source: Source) -> None:
    """Compare the data that a definition was made from with a source.

    Raises:
        UsageError: Examples are missing, new or changed; the message names the first ones.
    """
    names = positions_of(source)
    now = {name: digest[:NUM_DIGITS] for name, digest in zip(names, source.digests, strict=True)}
    differing = {
        "missing": [name for name in contents if name not in now],
        "new": [name for name in now if name not in contents],
        "changed": [name for name in now if contents.get(name, now[name]) != now[name]],
    }
    found = [
        f"{len(names)} {kind}: {', '.join(names[:NUM_NAMED])}"
        for kind, names in differing.items()
        if names
    ]
    if found:
        raise UsageError(
            f"Got a split of other data than {source.name!r} holds ({'; '.join(found)}). Expected "
            "the data that it was made from. Try opening that source, or make the split again."
        )


def parse_list(text: str, source: Source) -> Parts:
    """Read parts from CSV lines `id,part`; a first line `id,part` may name the columns.

    Returns:
        Part -> (k,) int64 positions, ascending.

    Raises:
        UsageError: A line has another form, or names another part, an unknown id or one twice.
    """
    position = positions_of(source)
    parts: dict[str, list[int]] = {part: [] for part in PARTITIONS}
    seen: set[str] = set()
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        fields = [field.strip() for field in row]
        if not any(fields) or (number == 1 and fields == ["id", "part"]):
            continue
        if len(fields) != 2 or fields[1] not in PARTITIONS or fields[0] in seen:
            raise UsageError(
                f"Got the line {number} of a list of parts, {','.join(row)!r}. Expected an id, a "
                f"comma and one of {', '.join(PARTITIONS)}, each id once. Try correcting the line."
            )
        if fields[0] not in position:
            raise UsageError(
                f"Got a list of parts whose line {number} names {fields[0]!r}, which "
                f"{source.name!r} does not have. Expected ids such as {source.ids[0]!r}. "
                "Try correcting the list."
            )
        seen.add(fields[0])
        parts[fields[1]].append(position[fields[0]])
    if not parts["train"]:
        raise UsageError(
            "Got a list of parts without a train example. Expected at least one. Try correcting it."
        )
    return {part: as_indices(found) for part, found in parts.items()}


def positions_of(source: Source) -> dict[str, int]:
    """Return the position of each id, in composed form and in the order of the source."""
    return {unicodedata.normalize("NFC", name): index for index, name in enumerate(source.ids)}


def as_indices(positions: Iterable[int]) -> Indices:
    """Return the positions in ascending order: (k,) int64."""
    return np.array(sorted(positions), dtype=np.int64)


def edited(what: str) -> UsageError:
    """Return the error for a file that was changed by hand."""
    return UsageError(
        f"Got a split file that {what}. Expected an unedited file. Try making it again."
    )
