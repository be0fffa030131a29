"""`folder:PATH`: class folders of image files, flat or below train, val and test.

An example's id is its path below the folder, in Unicode's composed form (NFC), so that it is the
same on every system. Files that are no images by their suffix are left aside; files that should be
images and cannot be read are refused, or left out and counted.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.data import OnError

from .decoding import FileFacts, decode_file, describe_error
from .inspection import Note, ignore, inspect_files
from .source import PARTITIONS, Labels, Pixels, Source, to_array

PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
}
NUM_NAMED = 5


@dataclass
class Listing:
    """What lies in a folder, before any file is opened.

    Attributes:
        names: Paths of image files below the folder, in the order of their ids.
        parts: Part of each; empty text where the folder is flat.
        classes: Class name of each.
        empty_classes: Class folders without an image file.
        ignored: Files that are no images by their suffix.
        loops: Links that lead back to a folder that was read already.
    """

    names: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


class FolderSource(Source):
    """Image files in class folders, decoded one by one."""

    is_encoded = True

    def __init__(
        self, name: str, root: Path, *, on_error: OnError = "fail", note: Note = ignore
    ) -> None:
        """List the folder and look at every file once.

        Raises:
            UsageError: No folder, no classes, or (under `fail`) files that cannot be read.
        """
        listing = list_folder(name, root)
        facts = inspect_files(root, listing.names, note)
        facts = refuse_names(listing.names, facts)
        errors = {
            file: fact.error for file, fact in zip(listing.names, facts, strict=True) if fact.error
        }
        self.name = name
        self.root = root.resolve()
        self.unreadable: Mapping[str, str] = errors
        self.empty_classes: Sequence[str] = listing.empty_classes
        self.ignored: Sequence[str] = listing.ignored
        self.loops: Sequence[str] = listing.loops
        if on_error == "fail":
            refuse_problems(name, errors, listing.empty_classes)
        self._keep(listing, facts)

    def _keep(self, listing: Listing, facts: Sequence[FileFacts]) -> None:
        """Arrays over the files that can be read."""
        kept = [index for index, fact in enumerate(facts) if not fact.error]
        names = [listing.names[index] for index in kept]
        classes = [listing.classes[index] for index in kept]
        self.class_names = tuple(sorted(set(classes)))
        if len(self.class_names) < 2:
            raise UsageError(
                f"received {self.name!r} with images of {len(self.class_names)} classes; allowed "
                "are at least 2 folders with images, one a class: correct the path"
            )
        label = {text: position for position, text in enumerate(self.class_names)}
        self._labels = np.array([label[text] for text in classes], dtype=np.int64)
        self._paths = names
        self._digests = [facts[index].digest for index in kept]
        self.ids = tuple(unicodedata.normalize("NFC", text) for text in names)
        parts = np.array([listing.parts[index] for index in kept])
        self.partitions = {
            part: np.flatnonzero(parts == part) for part in PARTITIONS if (parts == part).any()
        }
        self.channels = 1 if all(facts[index].is_grey for index in kept) else 3
        self.image_sizes = np.array([(facts[index].height, facts[index].width) for index in kept])
        height, width = self.image_sizes[0].tolist()
        is_even = bool((self.image_sizes == (height, width)).all())
        self.image_shape = (height, width, self.channels) if is_even else None

    @property
    def labels(self) -> Labels:
        """(n,) int64."""
        return self._labels

    @cached_property
    def digests(self) -> Sequence[str]:
        """Sha256 of each file."""
        return self._digests

    def image(self, index: int) -> Pixels:
        """One decoded image: (H, W, C) uint8."""
        return to_array(self.picture(index))

    def picture(self, index: int) -> Image.Image:
        """One decoded file: turning it into an array and back costs a quarter of a decode.

        Raises:
            CheckFailed: The file was readable before and is not any more.
        """
        path = self.root / self._paths[index]
        try:
            return decode_file(path, self.channels)
        except Exception as error:  # Pillow's readers raise anything on damaged files.
            raise CheckFailed(
                f"the file {str(path)!r} was readable when the run began and now "
                f"{describe_error(error, path)}: put it back, and keep the data as it is during a "
                "run"
            ) from None

    def contents(self) -> Iterable[bytes]:
        """The files' digests: no decoding."""
        for digest in self.digests:
            yield digest.encode()


def refuse_names(names: Sequence[str], facts: Sequence[FileFacts]) -> list[FileFacts]:
    """The facts, with an error where a name cannot be an id."""
    seen: set[str] = set()
    checked = []
    for name, fact in zip(names, facts, strict=True):
        error = ""
        identity = unicodedata.normalize("NFC", name)
        if shown(name) != name:
            error = "has a name that is not UTF-8"
        elif identity in seen:
            error = "has the same name as another file, but for the way its accents are written"
        seen.add(identity)
        checked.append(FileFacts(error=error) if error else fact)
    return checked


def open_folder(
    name: str, root: Path, on_error: OnError = "fail", note: Note = ignore
) -> FolderSource:
    """Open class folders.

    Raises:
        UsageError: See `FolderSource`.
    """
    return FolderSource(name, root, on_error=on_error, note=note)


def list_folder(name: str, root: Path) -> Listing:
    """All image files below class folders.

    Raises:
        UsageError: There is no folder, or it holds no class folders.
    """
    if not root.is_dir():
        raise UsageError(
            f"received {name!r}, but there is no folder {str(root)!r}; allowed is a folder with "
            "one folder a class, or with train, val and test that hold them: correct the path"
        )
    listing = Listing()
    try:
        list_parts(root, listing)
    except OSError as error:
        raise UsageError(
            f"received {name!r}, which cannot be listed ({error.strerror}: {error.filename!r}); "
            "allowed is a folder that you may read: correct the path or its permissions"
        ) from None
    if not listing.names and not listing.empty_classes:
        raise UsageError(
            f"received {name!r}, which holds no class folders; allowed is one folder a class: "
            "correct the path"
        )
    return listing


def list_parts(root: Path, listing: Listing) -> None:
    """Add the class folders of every part, or of the flat folder."""
    parts = {child: PART_FOLDERS[child.lower()] for child in subfolders(root) if is_part(child)}
    if "train" in parts.values():
        for child, part in sorted(parts.items(), key=lambda item: PARTITIONS.index(item[1])):
            list_classes(root, child, part, listing)
    else:
        list_classes(root, "", "", listing)


def is_part(folder: str) -> bool:
    """Whether a folder's name is that of a published part."""
    return folder.lower() in PART_FOLDERS


def list_classes(root: Path, below: str, part: str, listing: Listing) -> None:
    """Add the class folders of one part."""
    listing.ignored += [
        f"{below}/{child.name}".lstrip("/")
        for child in sorted((root / below).iterdir())
        if child.is_file() and not child.name.startswith(".")
    ]
    for folder in subfolders(root / below):
        where = f"{below}/{folder}".lstrip("/")
        found = list(walk(root, where, listing))
        images = [name for name in found if Path(name).suffix.lower() in SUFFIXES]
        listing.ignored += [name for name in found if Path(name).suffix.lower() not in SUFFIXES]
        if not images:
            listing.empty_classes.append(where)
        listing.names += images
        listing.parts += [part] * len(images)
        listing.classes += [unicodedata.normalize("NFC", folder)] * len(images)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, hidden ones left out, in Unicode's order."""
    names = (child.name for child in folder.iterdir() if child.is_dir())
    return sorted(name for name in names if not name.startswith("."))


def walk(root: Path, where: str, listing: Listing) -> Iterator[str]:
    """Files below a class folder; every real folder once, so that links cannot lead in circles."""
    above = [root, *(root / parent for parent in Path(where).parents)]
    seen = {(facts.st_dev, facts.st_ino) for facts in (folder.stat() for folder in above)}
    for folder, children, files in os.walk(root / where, followlinks=True):
        facts = Path(folder).stat()
        if (facts.st_dev, facts.st_ino) in seen:
            listing.loops.append(Path(folder).relative_to(root).as_posix())
            children.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        children[:] = sorted(name for name in children if not name.startswith("."))
        relative = Path(folder).relative_to(root).as_posix()
        yield from (f"{relative}/{file}" for file in sorted(files) if not file.startswith("."))


def refuse_problems(name: str, errors: Mapping[str, str], empty_classes: Sequence[str]) -> None:
    """One sentence that names the first files, or nothing.

    Raises:
        UsageError: Some file cannot be read, or some class folder is empty.
    """
    problems = [f"{file} {reason}" for file, reason in errors.items()]
    problems += [f"{folder}/ holds no image" for folder in empty_classes]
    if not problems:
        return
    named = "; ".join(shown(text) for text in problems[:NUM_NAMED])
    rest = f" and {len(problems) - NUM_NAMED} more" if len(problems) > NUM_NAMED else ""
    raise UsageError(
        f"received {name!r} with {len(errors)} unreadable files and {len(empty_classes)} empty "
        f"classes ({named}{rest}); allowed are readable images in every class: repair or remove "
        "them, or set data.on_error=skip (`poc data describe` lists them all)"
    )


def shown(text: str) -> str:
    """The text with undecodable bytes of a file name made visible."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
