"""`folder:PATH`: class folders of image files, flat or below train, val and test.

An example's id is its path below the folder, in Unicode's composed form (NFC), so that it is the
same on every system. Files without an image's suffix are ignored; files that should be images and
cannot be read are refused, or left out and counted.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from PIL import Image

from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.regular_files import read_regular
from poc.shared.shown_names import plain, say
from poc.shared.spec.data import OnError

from .base import PARTITIONS, Labels, Pixels, Source, to_array
from .class_folders.layout import suggest_deeper
from .class_folders.links import remark_links
from .class_folders.listing import Listing, list_folder
from .decoding import FileFacts, decode, describe_error
from .inspection import Note, ignore, inspect_files

NUM_NAMED = 5
# Grey levels of 256 that a picture of more than 8 bits should span after its reduction to 8: with
# fewer, it was probably scaled by the wrong top (see `depth`).
SMALL_SPAN = 64


class Look(TypedDict, total=False):
    """How the files are looked at once, before work starts.

    Attributes:
        on_error: Action for files that cannot be read: refuse the source (the default), or skip
            them.
        note: Called with a sentence about work that takes long.
        is_anew: Read every file again, whatever an earlier inspection found.
    """

    on_error: OnError
    note: Note
    is_anew: bool


class FolderSource(Source):
    """Image files in class folders, decoded one by one.

    Another rule of classes is a subclass with its own `_name_classes`.
    """

    is_encoded = True

    def __init__(
        self,
        name: str,
        root: Path,
        listing: Listing,
        **how: Unpack[Look],
    ) -> None:
        """Look at every listed file once.

        Raises:
            UsageError: There are fewer than two classes, or (under `fail`) files that cannot be
                read.
        """
        is_anew = how.get("is_anew", False)
        facts = inspect_files(root, listing.names, how.get("note", ignore), is_anew=is_anew)
        facts = refuse_names(listing.names, facts)
        errors = listing.unlisted | {
            file: fact.error for file, fact in zip(listing.names, facts, strict=True) if fact.error
        }
        self.name = name
        self.root = root.resolve()
        self.unreadable: Mapping[str, str] = errors
        self.empty_classes: Sequence[str] = listing.empty_classes
        self.ignored: Sequence[str] = listing.ignored
        self.loops: Sequence[str] = listing.loops
        self.unused: Sequence[str] = listing.unused
        if how.get("on_error", "fail") == "fail":
            refuse_problems(name, errors, listing.empty_classes)
        self._keep(listing, facts)

    def _keep(self, listing: Listing, facts: Sequence[FileFacts]) -> None:
        """Build the arrays over the files that can be read."""
        kept = [index for index, fact in enumerate(facts) if not fact.error]
        names = [listing.names[index] for index in kept]
        self._name_classes(listing, kept)
        self._paths = names
        self._digests = [facts[index].digest for index in kept]
        self._stamps = [facts[index].stamp for index in kept]
        self.ids = tuple(unicodedata.normalize("NFC", text) for text in names)
        parts = np.array([listing.parts[index] for index in kept])
        self.partitions = {
            part: np.flatnonzero(parts == part) for part in PARTITIONS if (parts == part).any()
        }
        # One picture in colour makes all of them RGB: a network has one number of input channels.
        self.channels = 1 if all(facts[index].is_grey for index in kept) else 3
        self.image_sizes = np.array([(facts[index].height, facts[index].width) for index in kept])
        height, width = self.image_sizes[0].tolist()
        is_even = bool((self.image_sizes == (height, width)).all())
        self.image_shape = (height, width, self.channels) if is_even else None
        spans = [span for index in kept if (span := facts[index].span) is not None]
        self.remarks = [
            *listing.remarks,
            *remark_spans(self.name, spans),
            *remark_links(self.root, names),
        ]

    def _name_classes(self, listing: Listing, kept: Sequence[int]) -> None:
        """Set `class_names` and `_labels` from the classes of the listed files that are kept."""
        classes = [listing.classes[index] for index in kept]
        self.class_names = tuple(sorted(set(classes)))
        if len(self.class_names) < 2:
            remedy = suggest_deeper(self.root, self.class_names) or "correcting the path"
            raise UsageError(
                f"Got {self.name!r} with images of {say(len(self.class_names), 'class')}. Expected "
                f"at least 2 folders with images, one per class. Try {remedy}."
            )
        label = {text: position for position, text in enumerate(self.class_names)}
        self._labels = np.array([label[text] for text in classes], dtype=np.int64)

    @property
    def labels(self) -> Labels:
        """Return the labels: (n,) int64."""
        return self._labels

    @cached_property
    def digests(self) -> Sequence[str]:
        """Return the sha256 of each file's bytes."""
        return self._digests

    def image(self, index: int) -> Pixels:
        """Decode one image: (H, W, C) uint8."""
        return to_array(self.picture(index))

    def picture(self, index: int) -> Image.Image:
        """Decode one file to Pillow's picture.

        Raises:
            CheckFailed: The file was readable before and is not any more, or has changed.
        """
        # Not by `image`: turning a picture into an array and back costs a quarter of a decode.
        path = self.file(index)
        try:
            content, stamp = read_regular(path)
            # The decoded bytes must be those that were inspected, or the run ends here.
            is_same = stamp == self._stamps[index] or self._is_digest(index, content)
            picture = decode(content, self.channels).picture
        except Exception as error:  # Pillow's readers raise anything on damaged files.
            raise refuse_change(path, describe_error(error, path)) from None
        if not is_same:
            raise refuse_change(path, "holds something else")
        return picture

    def file(self, index: int) -> Path:
        """Return the path of one image's file."""
        return self.root / self._paths[index]

    def _is_digest(self, index: int, content: bytes) -> bool:
        """Return True if these bytes are those that were inspected."""
        # A stamp alone may change without the content, for example with the file's permissions.
        return hashlib.sha256(content).hexdigest() == self._digests[index]

    def contents(self) -> Iterable[bytes]:
        """Yield the files' digests, which need no decoding."""
        for digest in self.digests:
            yield digest.encode()


def refuse_names(names: Sequence[str], facts: Sequence[FileFacts]) -> list[FileFacts]:
    """Return the facts, with an error for each file whose name cannot be an id."""
    seen: set[str] = set()
    checked = []
    for name, fact in zip(names, facts, strict=True):
        error = ""
        # macOS writes accents in two pieces, Linux mostly in one: both are the same id.
        identity = unicodedata.normalize("NFC", name)
        if not is_utf8(name):
            error = "has a name that is not UTF-8"
        elif identity in seen:
            error = "has the same name as another file, but for the way its accents are written"
        seen.add(identity)
        checked.append(FileFacts(error=error) if error else fact)
    return checked


def refuse_change(path: Path, what: str) -> CheckFailed:
    """Return the error that ends a run whose data changes while it runs."""
    return CheckFailed(
        f"Got the file {str(path)!r}, which was readable when the run began and now {what}. "
        "Expected data that does not change during a run. Try putting the file back."
    )


def open_folder(name: str, root: Path, **how: Unpack[Look]) -> FolderSource:
    """Open class folders.

    Raises:
        UsageError: The folder does not exist or has no classes, or as `FolderSource`.
    """
    listing = list_folder(name, root)
    return FolderSource(name, root, listing, **how)


def refuse_problems(name: str, errors: Mapping[str, str], empty_classes: Sequence[str]) -> None:
    """Refuse unreadable files and empty classes, with the names of the first ones.

    Raises:
        UsageError: Some file or folder cannot be read, or some class folder is empty.
    """
    problems = [f"{file} {reason}" for file, reason in errors.items()]
    problems += [f"{folder}/ holds no image" for folder in empty_classes]
    if not problems:
        return
    named = "; ".join(plain(text) for text in problems[:NUM_NAMED])
    rest = f" and {len(problems) - NUM_NAMED} more" if len(problems) > NUM_NAMED else ""
    num_folders = sum(file.endswith("/") for file in errors)
    folders = f", {say(num_folders, 'unreadable folder')}" if num_folders else ""
    raise UsageError(
        f"Got {name!r} with {say(len(errors) - num_folders, 'unreadable file')}{folders} and "
        f"{say(len(empty_classes), 'empty class')} ({named}{rest}). Expected readable "
        "images in every class. Try repairing or removing them, or set "
        "data.on_error=skip (`poc data describe` lists them all)."
    )


def remark_spans(name: str, spans: Sequence[int]) -> list[str]:
    """Return a remark if pictures of more than 8 bits keep few grey levels."""
    small = [span for span in spans if span < SMALL_SPAN]
    if not small:
        return []
    return [
        f"{len(small):,} of {len(spans):,} images of more than 8 bits in {name} use little of "
        f"their range: with 8 bits they span at most {max(small) + 1} of 256 grey levels. Scale "
        "them before, or say in the files how many bits they use (docs/data.md)."
    ]


def is_utf8(name: str) -> bool:
    """Return True if a file's name is valid text."""
    # Python keeps other bytes of a name as lone surrogates, which cannot be encoded.
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
