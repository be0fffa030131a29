"""A CSV file of labels: its rows, and what its columns mean.

The first line names the columns. Fields are separated by commas, semicolons or tabs; the text is
UTF-8. Rows keep their numbers, so that a message can name the line to correct.
"""

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.regular_files import read_regular
from poc.shared.shown_names import LABEL_SEPARATOR, plain
from poc.shared.spec.columns import ColumnsSpec
from poc.shared.spec.suggestions import closest

# Use -> names that are taken if the settings name no column, in lower case.
USUAL = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class"),
    "labels": ("labels",),
    "group": ("group",),
    "split": ("split", "part"),
}
DELIMITERS = (",", ";", "\t")
# In lower case; tables of pandas write True and False.
FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
NUM_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The rows of a CSV file of labels.

    Attributes:
        numbers: Line of the file where each row begins.
        paths: Path of each row's image, as written.
        names: Labels in the order of their columns; empty if the rows name them.
        labels: Labels that each row has.
        is_exclusive: True if each row has one label by the meaning of its column.
        groups: Group of each row; None without such a column.
        parts: Part of each row as written; None without such a column.
        remarks: Sentences about columns that were not named by the settings.
    """

    numbers: Sequence[int]
    paths: Sequence[str]
    names: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    is_exclusive: bool
    groups: Sequence[str] | None
    parts: Sequence[str] | None
    remarks: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Fields of a CSV file: the header, the data rows and their lines in the file."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]

    def column(self, name: str) -> list[str]:
        """Return the fields of a column, without white space around them."""
        at = self.header.index(name)
        return [row[at].strip() for row in self.rows]


def read_table(name: str, path: Path, columns: ColumnsSpec) -> LabelTable:
    """Read a CSV file of labels.

    Args:
        name: Text that the user gave, for messages.
        path: The file.
        columns: The columns' names, as far as they are set.

    Raises:
        UsageError: The file is unreadable, a column is missing, or a row lacks a field.
    """
    rows = read_rows(name, path)
    path_column = find_column(rows, "path", columns.path)
    group = find_column(rows, "group", columns.group)
    part = find_column(rows, "split", columns.split)
    if path_column is None:
        raise refuse_column(rows, "path", "the image files' paths")
    # A column without a name is the row numbers of pandas.
    others = [name for name in rows.header if name and name not in (path_column, group, part)]
    names, labels, is_exclusive, remarks = read_labels(rows, columns, others)
    return LabelTable(
        numbers=rows.numbers,
        paths=require_filled(rows, path_column),
        names=names,
        labels=labels,
        is_exclusive=is_exclusive,
        groups=None if group is None else require_filled(rows, group),
        parts=None if part is None else require_filled(rows, part),
        remarks=remarks,
    )


def read_rows(name: str, path: Path) -> Rows:
    """Read the fields of a CSV file; lines without any field are left out.

    Raises:
        UsageError: The file cannot be read, has no rows, or a row is longer or shorter than the
            header.
    """
    try:
        text, delimiter = find_delimiter(read_regular(path)[0].decode("utf-8-sig"))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines: list[tuple[int, list[str]]] = []
        first = 1
        for fields in reader:
            if any(field.strip() for field in fields):
                lines.append((first, fields))
            first = reader.line_num + 1
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f"Got {name!r}, which cannot be read ({error}). Expected a CSV file in UTF-8 whose "
            "first line names its columns. Try correcting the path, or saving it as CSV UTF-8."
        ) from None
    if len(lines) < 2:
        raise UsageError(
            f"Got {name!r} with {len(lines)} lines. Expected a line of column names and a line per "
            "image. Try adding them."
        )
    header = [field.strip() for field in lines[0][1]]
    check_header(name, header)
    for number, fields in lines[1:]:
        if len(fields) != len(header):
            raise UsageError(
                f"Got {name!r}, whose line {number} has {len(fields)} fields. Expected "
                f"{len(header)}, as many as its first line names. Try correcting the line."
            )
    numbers, rows = zip(*lines[1:], strict=True)
    return Rows(name=name, header=header, rows=rows, numbers=numbers)


def find_delimiter(text: str) -> tuple[str, str]:
    """Return a file's text, without the line `sep=;` that Excel reads, and its delimiter.

    Raises:
        ValueError: The text has zero bytes, and so is no UTF-8 that people write.
    """
    if "\0" in text:
        raise ValueError("it has zero bytes, as text in UTF-16 does")
    if text[:4].lower() == "sep=" and text[4:5] in DELIMITERS and text[5:6] in ("\r", "\n"):
        # The end of the line stays, so that lines keep their numbers.
        return text[5:], text[4]
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    return text, max(DELIMITERS, key=header_line.count)


def check_header(name: str, header: Sequence[str]) -> None:
    """Refuse a header with one name twice."""
    twice = [column for column in header if column and header.count(column) > 1]
    if twice:
        raise UsageError(
            f"Got {name!r} with the column {twice[0]!r} twice. Expected each name once. Try "
            "renaming one of them."
        )


def find_column(rows: Rows, use: str, named: str | None = None) -> str | None:
    """Return the column for a use, as `named` or by its usual name; None without one.

    Raises:
        UsageError: The file does not have the named column, or two have usual names.
    """
    if named is not None:
        require_column(rows, use, named)
        return named
    found = [column for column in rows.header if column.lower() in USUAL[use]]
    if len(found) > 1:
        raise UsageError(
            f"Got {rows.name!r} with the columns {' and '.join(map(repr, found))}. Expected one "
            f"for data.columns.{use}. Try naming it: --set data.columns.{use}={found[0]}."
        )
    return found[0] if found else None


def require_column(rows: Rows, use: str, column: str) -> None:
    """Refuse a column that the file does not have."""
    if column not in rows.header:
        near = closest(column, rows.header) or rows.header[0]
        raise UsageError(
            f"Got data.columns.{use}={column!r}. Expected a column of {rows.name!r}: "
            f"{name_columns(rows.header)}. Try {near!r}."
        )


def refuse_column(rows: Rows, use: str, what: str) -> UsageError:
    """Return the error for a use without a column."""
    several = ", or two or more of 0 and 1: --set 'data.columns.labels=[…]'"
    return UsageError(
        f"Got {rows.name!r} with the columns {name_columns(rows.header)}, none of which is named "
        f"{' or '.join(USUAL[use])}. Expected one with {what}. Try naming it: "
        f"--set data.columns.{use}=NAME{several if use == 'label' else ''}."
    )


def name_columns(columns: Sequence[str]) -> str:
    """Write the first column names."""
    rest = f" and {len(columns) - NUM_NAMED} more" if len(columns) > NUM_NAMED else ""
    return ", ".join(plain(repr(column)) for column in columns[:NUM_NAMED]) + rest


def require_filled(rows: Rows, column: str) -> list[str]:
    """Return the fields of a column.

    Raises:
        UsageError: One is empty; the message names its line.
    """
    fields = rows.column(column)
    for number, field in zip(rows.numbers, fields, strict=True):
        if not field:
            raise UsageError(
                f"Got {rows.name!r}, whose line {number} has nothing in the column {column!r}. "
                "Expected a value in every line. Try adding it, or removing the line."
            )
    return fields


def read_labels(
    rows: Rows, columns: ColumnsSpec, others: Sequence[str]
) -> tuple[Sequence[str], list[tuple[str, ...]], bool, list[str]]:
    """Read the labels of every row.

    Args:
        rows: The file.
        columns: The columns' names, as far as they are set.
        others: Columns that are neither path, group nor split.

    Returns:
        Labels in the order of their columns (empty if the rows name them), the labels of each row,
        whether a row has exactly one by definition, and remarks.

    Raises:
        UsageError: There is no column of labels, or a field of one is not 0 or 1.
    """
    label = None if columns.labels else find_column(rows, "label", columns.label)
    if label is not None:
        return (), [(compose(text),) for text in require_filled(rows, label)], True, []
    several, remarks = list(columns.labels), []
    for column in several:
        require_column(rows, "labels", column)
    if not several and (found := find_column(rows, "labels")):
        several = [found]
    if len(several) == 1:
        return (), [split_names(text) for text in rows.column(several[0])], False, []
    if not several:
        several = [column for column in others if are_flags(rows.column(column))]
        if len(several) < 2 or len(several) < len(others):
            raise refuse_column(rows, "label", "each image's class")
        remarks = [f"{rows.name}: {name_columns(several)} are taken as labels, 1 for yes."]
    return several, read_flags(rows, several), False, remarks


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a field, each once, in their order; empty for an empty field."""
    names = (compose(name.strip()) for name in text.split(LABEL_SEPARATOR))
    return tuple(dict.fromkeys(name for name in names if name))


def compose(text: str) -> str:
    """Return a label in Unicode's composed form, so that both forms of é are one class."""
    return unicodedata.normalize("NFC", text)


def are_flags(fields: Sequence[str]) -> bool:
    """Return whether all fields of a column are 0 or 1."""
    return {field.lower() for field in fields} <= FLAGS.keys()


def read_flags(rows: Rows, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the columns that hold 1 in each row.

    Raises:
        UsageError: A field is neither 0 nor 1; the message names its line.
    """
    labels: list[list[str]] = [[] for _ in rows.numbers]
    for column in columns:
        for number, field, own in zip(rows.numbers, rows.column(column), labels, strict=True):
            if field.lower() not in FLAGS:
                raise UsageError(
                    f"Got {rows.name!r}, whose line {number} has {field!r} in the column of the "
                    f"label {column!r}. Expected 0 or 1: an unknown label is neither. Try "
                    "correcting it, or leaving the line out."
                )
            if FLAGS[field.lower()]:
                own.append(column)
    return [tuple(own) for own in labels]
