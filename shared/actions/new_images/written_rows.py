"""Rows of answers as text: a table for people, CSV, and JSON. Each row is written when it is known.

So neither the number of images nor that of classes decides how much memory a command takes.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
from rich.cells import cell_len

from poc.shared.errors import CheckFailed, UsageError
from poc.shared.shown_names import LABEL_SEPARATOR, plain, say

from .given_images import Item
from .labels import Row
from .trained_network import Answering

# Characters of a path in a table; a longer one moves the rest of its line.
MAX_FILE_WIDTH = 60
MIN_LABEL_WIDTH = len("(no label)")

Write = Callable[[str], object]


class TableRows:
    """Rows for people: file, label, probability, and what is wrong.

    Args:
        write: Called with each line.
        items: All images, which decide the width of the first column.
        answering: Gives the classes.
    """

    def __init__(self, write: Write, items: Sequence[Item], answering: Answering) -> None:
        self._write = write
        longest = max(cell_len(plain(str(item.name))) for item in items)
        self._file_width = min(max(longest, len("file")), MAX_FILE_WIDTH)
        names = max(cell_len(plain(name)) for name in answering.class_names)
        self._label_width = max(names, MIN_LABEL_WIDTH)
        self._class_names, self._is_multi_label = answering.class_names, answering.is_multi_label
        self._write(self._line("file", "label", "probability"))

    def add(self, row: Row) -> None:
        """Write one row."""
        if row.label is None:
            unsure = "" if row.is_unreadable else "(unsure)"
            share = "" if row.probability is None else f"{row.probability:.4f}"
            self._write(self._line(row.file, unsure, share, row.problem))
        elif self._is_multi_label:
            self._write(self._line(row.file, row.label or "(no label)", self._list_shares(row)))
        else:
            self._write(self._line(row.file, row.label, f"{row.probability:.4f}"))

    def close(self) -> None:
        """Do nothing: a table has no end."""

    def _list_shares(self, row: Row) -> str:
        """List the probability of each label that the image has."""
        own = set((row.label or "").split(LABEL_SEPARATOR))
        shares = np.empty(0) if row.probabilities is None else row.probabilities
        pairs = zip(self._class_names, shares, strict=True)
        return " ".join(f"{share:.4f}" for name, share in pairs if name in own)

    def _line(self, file: str, label: str, share: str, problem: str = "") -> str:
        cells = pad(file, self._file_width) + "  " + pad(label, self._label_width)
        return plain(f"{cells}  {share}  {problem}".rstrip())


class CsvRows:
    """Rows for other programs: file, label, probability, problem, and a column per class.

    Args:
        file: Open text file.
        class_names: Classes in their order; one that is named like a column becomes `class NAME`.
    """

    def __init__(self, file: IO[str], class_names: Sequence[str]) -> None:
        self._file, self._writer = file, csv.writer(file, lineterminator="\n")
        first = ("file", "label", "probability", "problem")
        names = [f"class {name}" if name in first else name for name in class_names]
        self._num_classes = len(names)
        self._write([*first, *names])

    def add(self, row: Row) -> None:
        """Write one row."""
        nothing = [""] * self._num_classes
        shares: Iterable[object] = nothing if row.probabilities is None else row.probabilities
        label = "" if row.label is None else row.label
        probability = "" if row.probability is None else row.probability
        self._write([row.file, label, probability, row.problem, *shares])

    def close(self) -> None:
        """Write what is buffered; the file is closed by its owner."""
        with self._telling():
            self._file.flush()

    def _write(self, cells: Sequence[object]) -> None:
        with self._telling():
            self._writer.writerow(cells)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in a sentence that the file takes nothing more."""
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"Got --csv {str(self._file.name)!r}, which takes nothing more ({error.strerror}), "
                "so that it is incomplete. Expected room for a row per image. Try another folder."
            ) from None


class JsonRows:
    """Rows as one JSON object, each on a line of its own.

    Args:
        write: Called with each line.
        facts: Keys of the object besides `rows`.
    """

    def __init__(self, write: Write, facts: Mapping[str, object]) -> None:
        self._write, self._last = write, ""
        opened = json.dumps(facts, indent=1).removesuffix("\n}")
        self._write(f'{opened},\n "rows": [')

    def add(self, row: Row) -> None:
        """Write one row, after a comma if it is not the first."""
        if self._last:
            self._write(f"{self._last},")
        shares = None if row.probabilities is None else [float(p) for p in row.probabilities]
        self._last = "  " + json.dumps({**row._asdict(), "probabilities": shares})

    def close(self) -> None:
        """Write the last row and the end."""
        if self._last:
            self._write(self._last)
        self._write(" ]\n}")


def pad(text: str, width: int) -> str:
    """Return a text in one line, filled with spaces up to a width in terminal cells."""
    shown = plain(text)
    return shown + " " * max(width - cell_len(shown), 0)


RowWriter = TableRows | CsvRows | JsonRows


def count_rows(rows: Iterable[Row], writers: Sequence[RowWriter]) -> Counter[str]:
    """Pass each row to the writers; return how many are `labelled`, `unsure` and `unreadable`."""
    counts: Counter[str] = Counter()
    for row in rows:
        for writer in writers:
            writer.add(row)
        kind = "unreadable" if row.is_unreadable else "unsure" if row.label is None else "labelled"
        counts[kind] += 1
    for writer in writers:
        writer.close()
    return counts


def describe_counts(counts: Counter[str]) -> str:
    """Say how many images have which kind of answer."""
    unsure = f", {counts['unsure']:,} too unsure for one" if counts["unsure"] else ""
    return f"{say(counts['labelled'], 'image')} with an answer{unsure}."


def refuse_unreadable_rows(counts: Counter[str]) -> None:
    """Fail if a file could not be read; its row says why.

    Raises:
        CheckFailed: See above.
    """
    if num_bad := counts["unreadable"]:
        raise CheckFailed(
            f"{num_bad:,} of {say(counts.total(), 'file')} cannot be read; their rows say why"
        )
