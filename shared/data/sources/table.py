"""The table of sources, and the way from the text of `--data` to one of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from poc.shared.errors import UsageError
from poc.shared.files.cache import expand_home
from poc.shared.spec.columns import ColumnsSpec
from poc.shared.spec.data import OnError
from poc.shared.spec.suggestions import closest

from .arrays import open_embedded, open_npz
from .base import Source
from .csv_source import open_csv
from .folder import Look, open_folder
from .idx import open_idx
from .inspection import Note, ignore

__all__ = ["SCHEMES", "Scheme", "Source", "open_source"]


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One kind of source: its form, its description, and the function that opens it.

    Attributes:
        form: Text for `--data`, with placeholders.
        summary: Description in one line.
        open: (text, text after the scheme, opening) -> the source.
        is_constant: True if the source always holds the same images and opens at no cost.
    """

    form: str
    summary: str
    open: Callable[[str, str, "Opening"], Source]
    is_constant: bool = False

    @property
    def takes_path(self) -> bool:
        """Return whether the text after the colon is the path of a file or a folder."""
        return self.form.endswith((":PATH", ":FILE"))


class KnownImages(NamedTuple):
    """Facts about a source that always holds the same images; shape (height, width, channels)."""

    shape: tuple[int, int, int]
    num_classes: int
    is_multi_label: bool


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Options of opening a source; see `open_source`."""

    on_error: OnError = "fail"
    note: Note = ignore
    is_anew: bool = False
    columns: ColumnsSpec | None = None

    @property
    def look(self) -> Look:
        """Return how files are looked at."""
        return {"on_error": self.on_error, "note": self.note, "is_anew": self.is_anew}


def _open_tfds(name: str, rest: str, opening: Opening) -> Source:
    # Imported only on demand: tensorflow-datasets takes a third of a second.
    from .tfds import open_tfds

    return open_tfds(name, rest)


def _open_folder(name: str, rest: str, opening: Opening) -> Source:
    return open_folder(name, expand_home(rest), **opening.look)


def _open_csv(name: str, rest: str, opening: Opening) -> Source:
    return open_csv(name, expand_home(rest), opening.columns, **opening.look)


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "embedded": Scheme(
            form="embedded",
            summary="a cut of Fashion-MNIST that ships in the package",
            open=lambda name, rest, opening: open_embedded(name),
            is_constant=True,
        ),
        "folder": Scheme(
            form="folder:PATH",
            summary="image files in class folders, flat or below train, val and test",
            open=_open_folder,
        ),
        "csv": Scheme(
            form="csv:FILE",
            summary="image files with their class or labels, one line each in a CSV file",
            open=_open_csv,
        ),
        "idx": Scheme(
            form="idx:PATH",
            summary="a folder of MNIST-style IDX files, plain or gzipped",
            open=lambda name, rest, opening: open_idx(name, expand_home(rest)),
        ),
        "npz": Scheme(
            form="npz:PATH",
            summary="one NumPy archive of images and labels",
            open=lambda name, rest, opening: open_npz(name, expand_home(rest)),
        ),
        "tfds": Scheme(
            form="tfds:NAME[:CONFIG]",
            summary="any prepared image-classification set of tensorflow-datasets",
            open=_open_tfds,
        ),
    }
)


# Suffix of a file -> the kind of source that reads it.
SUFFIXES = {".npz": "npz", ".csv": "csv", ".tsv": "csv"}


def open_source(
    text: str,
    *,
    on_error: OnError = "fail",
    note: Note = ignore,
    is_anew: bool = False,
    columns: ColumnsSpec | None = None,
) -> Source:
    """Open one of the `SCHEMES`.

    Args:
        text: Text given to `--data`.
        on_error: Action for files that cannot be read: refuse the source, or skip them.
        note: Called with a sentence about work that takes long.
        is_anew: Read every file of a folder again, whatever an earlier inspection found.
        columns: Names of the columns of a CSV file, as far as they are set.

    Raises:
        UsageError: The scheme is unknown, the path missing, or the content damaged or unsuitable;
            or columns are named for another source than a CSV file.
    """
    scheme, rest = split_source(text)
    if scheme != "csv" and columns not in (None, ColumnsSpec()):
        raise UsageError(
            f"Got data.columns for {text!r}, which has no columns. Expected them with csv:FILE "
            "alone. Try removing data.columns."
        )
    opening = Opening(on_error=on_error, note=note, is_anew=is_anew, columns=columns)
    return SCHEMES[scheme].open(text, rest, opening)


@cache
def known_images(text: str) -> KnownImages | None:
    """Return the facts about a source before a run opens it; None if only opening it can show them.

    Args:
        text: Text given to `--data`.
    """
    scheme, rest = split_source(text)
    if not SCHEMES[scheme].is_constant:
        return None
    source = SCHEMES[scheme].open(text, rest, Opening())
    if source.image_shape is None:
        return None
    return KnownImages(source.image_shape, len(source.class_names), source.is_multi_label)


def split_source(text: str) -> tuple[str, str]:
    """Split a text into the scheme and the rest after its colon.

    Raises:
        UsageError: There is no such scheme.
    """
    # At the first colon: paths and `tfds:NAME:CONFIG` may have more of them.
    scheme, _, rest = text.partition(":")
    if scheme not in SCHEMES or bool(rest) != (":" in SCHEMES[scheme].form):
        allowed = ", ".join(row.form for row in SCHEMES.values())
        raise UsageError(
            f"Got the data source {text!r}. Expected one of {allowed}. Try {suggest_source(text)}."
        )
    return scheme, rest


def require_source(text: str) -> None:
    """Refuse a source that does not exist, before anything is started for it.

    Raises:
        UsageError: The scheme is unknown, or the path does not exist; as in `open_source`.
    """
    scheme, rest = split_source(text)
    if SCHEMES[scheme].takes_path and not expand_home(rest).exists():
        open_source(text)


def suggest_source(text: str) -> str:
    """Suggest the text to write for a path without its scheme, or for a misspelt scheme."""
    path = expand_home(text)
    if path.is_dir():
        is_idx = any("ubyte" in child.name for child in path.iterdir())
        return f"writing {'idx' if is_idx else 'folder'}:{text}"
    if path.suffix in SUFFIXES:
        return f"writing {SUFFIXES[path.suffix]}:{text}"
    scheme, _, rest = text.partition(":")
    near = closest(scheme, SCHEMES)
    if near is None:
        return f"writing folder:{rest or text}, if that is a folder of images"
    return f"writing {near}:{rest}" if rest and ":" in SCHEMES[near].form else SCHEMES[near].form
