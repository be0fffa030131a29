"""`csv:FILE`: image files that a CSV file names, each with its class or with any number of labels.

An example's id is its path as the file has it, relative to the file's folder, in Unicode's composed
form.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.shown_names import LABEL_SEPARATOR, plain, say
from poc.shared.spec.columns import ColumnsSpec

from .class_folders.layout import PART_FOLDERS, SUFFIXES
from .class_folders.listing import Listing
from .folder import FolderSource, Look
from .label_table import LabelTable, read_table

# A set lists its photos' suffixes in capitals or not, as the camera wrote them.
ALL_SUFFIXES = sorted({*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)})
NUM_NAMED = 5


class CsvSource(FolderSource):
    """Image files that a CSV file names; listed by `list_table`."""

    def __init__(
        self,
        name: str,
        root: Path,
        listing: Listing,
        table: LabelTable,
        columns: ColumnsSpec,
        **how: Unpack[Look],
    ) -> None:
        self._table, self.columns = table, columns
        super().__init__(name, root, listing, **how)

    def _name_classes(self, listing: Listing, kept: Sequence[int]) -> None:
        table = self._table
        # Over all rows, so that a file that is left out does not make the set another one.
        is_exclusive = table.is_exclusive or all(len(own) == 1 for own in table.labels)
        rows = [table.labels[index] for index in kept]
        found = {label for own in rows for label in own}
        # Columns keep their order; names that the rows give have none, so they are sorted.
        names = [name for name in table.names if name in found] or sorted(found)
        self.class_names = tuple(names)
        refuse_labels(self.name, table, names)
        at = {label: position for position, label in enumerate(names)}
        if table.groups is not None:
            self.groups = [table.groups[index] for index in kept]
        if is_exclusive:
            self._labels = np.array([at[own[0]] for own in rows], dtype=np.int64)
            return
        self._labels = np.zeros((len(rows), len(names)), dtype=np.int64)
        for row, own in enumerate(rows):
            self._labels[row, [at[label] for label in own]] = 1


def refuse_labels(name: str, table: LabelTable, names: Sequence[str]) -> None:
    """Refuse a set with fewer than two labels, and columns of labels that no image has."""
    unused = [label for label in table.names if label not in names]
    if unused:
        raise UsageError(
            f"Got {name!r}, in which no readable image has {say(len(unused), 'label')} "
            f"({', '.join(plain(repr(label)) for label in unused[:NUM_NAMED])}). Expected an "
            "example of each label. Try naming the others: --set data.columns.labels=[…]."
        )
    if len(names) < 2:
        listed = f" ({plain(repr(names[0]))})" if names else ""
        raise UsageError(
            f"Got {name!r}, whose readable images have {say(len(names), 'class')}{listed}. "
            "Expected at least 2. Try naming the right column: --set data.columns.label=NAME."
        )


def open_csv(
    name: str, path: Path, columns: ColumnsSpec | None = None, **how: Unpack[Look]
) -> CsvSource:
    """Open the images that a CSV file names.

    Args:
        name: Text that the user gave.
        path: The CSV file.
        columns: Names of its columns, as far as they are set.
        **how: As `FolderSource`.

    Raises:
        UsageError: The file cannot be read, a column is missing, a row is malformed, an image is
            named twice, there are fewer than two labels, or (under `fail`) an image is unreadable.
    """
    columns = columns or ColumnsSpec()
    table = read_table(name, path, columns)
    listing = list_table(name, path.parent, table)
    if table.groups is not None and columns.group is None:
        listing.remarks = [*listing.remarks, tell_groups(name, table.groups)]
    return CsvSource(name, path.parent, listing, table, columns, **how)


def list_table(name: str, root: Path, table: LabelTable) -> Listing:
    """List the images of a table; the parts are those of its column.

    Raises:
        UsageError: A part has another name, or an image is named twice.
    """
    names = [find_file(root, text) for text in table.paths]
    if not any(is_there(root / file) for file in names):
        raise UsageError(
            f"Got {name!r}, none of whose paths leads to a file (line {table.numbers[0]}: "
            f"{plain(repr(table.paths[0]))}). Expected paths from the folder of the CSV file, "
            f"{str(root)!r}, or absolute ones. Try correcting them, or moving the CSV file."
        )
    counts = Counter(names)
    for file, number in zip(names, table.numbers, strict=True):
        if counts[file] > 1:
            raise UsageError(
                f"Got {name!r}, which names {plain(repr(file))} {counts[file]} times, first in "
                f"line {number}. Expected one line per image, with all of its labels. "
                "Try joining these lines."
            )
    parts = [""] * len(names) if table.parts is None else read_parts(name, table, table.parts)
    remarks = [*table.remarks, *remark_capitals(name, table), *remark_separators(name, table)]
    if not table.is_exclusive and all(len(own) == 1 for own in table.labels):
        remarks.append(f"{name}: every image has exactly one label, so the labels are classes.")
    return Listing(
        names=names, parts=parts, classes=["|".join(own) for own in table.labels], remarks=remarks
    )


def tell_groups(name: str, groups: Sequence[str]) -> str:
    """Say that a column was taken as groups by its name alone, which changes every draw."""
    return (
        f"{name}: the column group, with {say(len(set(groups)), 'value')}, is taken as the images' "
        "groups, and no draw divides one. If it means something else, rename it."
    )


def remark_capitals(name: str, table: LabelTable) -> list[str]:
    """Name the first two labels that differ in capital letters alone, if there are some."""
    seen: dict[str, str] = {}
    for label in dict.fromkeys(label for own in table.labels for label in own):
        other = seen.setdefault(label.casefold(), label)
        if other != label:
            pair = " and ".join(plain(repr(each)) for each in (other, label))
            return [f"{name}: {pair} are taken as different labels, by their capital letters."]
    return []


def remark_separators(name: str, table: LabelTable) -> list[str]:
    """Say that a comma or a semicolon separates no labels, if rows name a label that has one."""
    is_by_name = not table.is_exclusive and not table.names
    labels = [label for own in table.labels for label in own] if is_by_name else []
    found = next((label for label in labels if "," in label or ";" in label), None)
    if found is None:
        return []
    return [
        f"{name}: {plain(repr(found))} is taken as one label; only {LABEL_SEPARATOR} separates "
        "them."
    ]


def read_parts(name: str, table: LabelTable, texts: Sequence[str]) -> list[str]:
    """Return the part of each row, train, val or test, from the texts of its column."""
    for text, number in zip(texts, table.numbers, strict=True):
        if text.lower() not in PART_FOLDERS:
            raise UsageError(
                f"Got {name!r}, whose line {number} has the part {text!r}. Expected train, val or "
                "test. Try correcting it, or naming another column with data.columns.split."
            )
    return [PART_FOLDERS[text.lower()] for text in texts]


def find_file(root: Path, text: str) -> str:
    """Return an image's path relative to the folder, from the text in the table.

    A path may lack its suffix if one file has it with the suffix of an image, and may be written
    with backslashes. A path that leads to no file is returned unchanged; its inspection fails.
    """
    for written in dict.fromkeys((text, text.replace("\\", "/"))):
        if is_there(root / written):
            return relate(root, written)
    found = [text + suffix for suffix in ALL_SUFFIXES if is_there(root / (text + suffix))]
    # Where capitals make no difference, one file is found by .jpg and by .JPG.
    is_one = found and all((root / found[-1]).samefile(root / other) for other in found[:-1])
    return relate(root, found[-1] if is_one else text)


def is_there(path: Path) -> bool:
    """Return whether a path leads to something; a name that is too long leads nowhere."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises on such a name


def relate(root: Path, text: str) -> str:
    """Return a path relative to the folder, with slashes and without needless steps.

    Steps upwards are those from the real place of the folder, if a link leads to it.
    """
    relative, path = os.path.relpath(root / text, root), root / text
    if ".." in {*Path(text).parts, *Path(relative).parts} and is_there(path):
        real = Path(os.path.realpath(root))
        # `relpath` reads the texts of paths alone, and a link leads out of them.
        if not (is_there(real / relative) and path.samefile(real / relative)):
            parent = Path(os.path.realpath(path.parent))
            relative = os.path.relpath(parent / path.name, real)
    return Path(relative).as_posix()
