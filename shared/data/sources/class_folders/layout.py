"""Parts and classes among the folders of a set, and paths that name a folder one level too high.

A set that was unpacked into a second folder, or whose parts have unusual names, looks like classes:
`training_set/training_set/cats`. It is refused with the path to give. Classes may have folders in
them (patients, batches), unless these look like parts.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from poc.shared.data.sources.base import PARTITIONS
from poc.shared.errors import UsageError

PART_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
# Words in longer names, such as `seg_train` and `test2017`, that make a folder look like a part.
PART_WORDS = PART_FOLDERS | {
    f"{word}{end}": part for word, part in PART_FOLDERS.items() for end in ("set", "data", "images")
}
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    *(".dcm", ".dicom"),
}
# Files and folders that macOS, Windows and Synology put into folders and archives: never a class.
LITTER = {
    *("__macosx", "$recycle.bin", "system volume information", "@eadir"),
    *(".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized"),
}
EXPECTED = "Expected one folder per class, or train, val and test with the class folders in them"
# Ends the descent into folders that hold one folder, which a link could make endless.
MAX_DEPTH = 6
NUM_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Look:
    """The direct content of a folder.

    Attributes:
        folders: Names without the hidden ones, in Unicode's order.
        has_images: True if some file is an image by its suffix.
    """

    folders: tuple[str, ...]
    has_images: bool

    @property
    def is_shelf(self) -> bool:
        """Return True if the folder holds folders and no images of its own."""
        return bool(self.folders) and not self.has_images


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The parts or classes of a set's folder.

    Attributes:
        parts: Folder -> part; empty if the folders are classes.
        unused: Folders next to the parts, which are not read.
        remarks: Decisions that the user may have meant otherwise, one sentence each.
    """

    parts: Mapping[str, str]
    unused: Sequence[str] = ()
    remarks: Sequence[str] = ()


def find_layout(name: str, root: Path) -> Layout:
    """Decide whether a set's folder holds parts or classes.

    Raises:
        UsageError: The folder seems to be a level too high, or has parts without train.
        OSError: The folder cannot be listed.
    """
    looks = {folder: look(root / folder) for folder in subfolders(root)}
    parts = {folder: part for folder in looks if (part := PART_FOLDERS.get(folder.lower()))}
    for folder in parts:
        # Raises for a part that may not be listed, which would otherwise look empty.
        subfolders(root / folder)
    # A class may be called train; without folders in it, it is no training part.
    if any(part == "train" and looks[folder].folders for folder, part in parts.items()):
        return read_parts(name, root, looks, parts)
    if len(set(parts.values())) > 1:
        first = min(parts, key=lambda folder: PARTITIONS.index(parts[folder]))
        what = "without folders in train" if "train" in parts.values() else "and no train"
        raise UsageError(
            f"Got {name!r} with the parts {quote(parts)} {what}. {EXPECTED}. Try renaming the "
            f"training part to train, or give one part alone, such as 'folder:{root / first}'."
        )
    refuse_hidden_parts(name, root, looks)
    return Layout(parts={}, remarks=remark_classes(name, root, looks))


def read_parts(
    name: str, root: Path, looks: Mapping[str, Look], parts: Mapping[str, str]
) -> Layout:
    """Return the layout of a folder with a training part.

    Raises:
        UsageError: Two folders are one part, or a part's classes are a level deeper.
    """
    order = sorted(parts, key=lambda folder: PARTITIONS.index(parts[folder]))
    if len(set(parts.values())) < len(parts):
        raise UsageError(
            f"Got {name!r} with the folders {quote(order)}, two of which are one part. "
            "Expected one folder per part. Try renaming or moving one."
        )
    classes = looks[order[0]].folders
    for folder in order:
        below = looks[folder].folders
        # A test on one class may be intended, training on one class is not.
        is_class = len(classes) > 1 and below[:1] and below[0] in classes
        if len(below) == 1 and not is_class and look(root / folder / below[0]).is_shelf:
            raise UsageError(
                f"Got {name!r}, whose part {folder!r} holds one folder, {below[0]!r}, that "
                f"holds folders. {EXPECTED}. Try moving the class folders up, or give one part "
                f"alone, such as 'folder:{descend(root / folder)}'."
            )
    remarks = [
        f"{name}: the folder {folder!r} is taken as the validation part."
        for folder in order
        if folder.lower() == "dev"
    ]
    unused = [folder for folder in looks if folder not in parts]
    if unused:
        remarks.append(
            f"{name}: {quote(unused)} next to {quote(order)} is not used: only these are parts."
        )
    return Layout(parts={folder: parts[folder] for folder in order}, unused=unused, remarks=remarks)


def refuse_hidden_parts(name: str, root: Path, looks: Mapping[str, Look]) -> None:
    """Refuse classes that look like parts, or that hold parts.

    Raises:
        UsageError: Some folders look like parts; the message names the path to give.
    """
    like = {folder: find_word(folder) for folder in looks if looks[folder].is_shelf}
    found = {folder: part for folder, part in like.items() if part}
    if len(set(found.values())) > 1:
        order = sorted(found, key=lambda folder: PARTITIONS.index(found[folder]))
        raise UsageError(
            f"Got {name!r}, whose folders {quote(order)} look like parts and hold no images "
            f"of their own. {EXPECTED}. Try giving one part alone, such as "
            f"'folder:{descend(root / order[0])}', or name the folders train, val and test."
        )
    for folder, seen in looks.items():
        # Two different parts are needed: one folder called "test" in a class may be anything.
        inner = {PART_FOLDERS[below.lower()] for below in parts_among(seen.folders)}
        shelves = [
            below for below in parts_among(seen.folders) if look(root / folder / below).is_shelf
        ]
        if len(inner) > 1 and shelves:
            raise UsageError(
                f"Got {name!r}, whose folder {folder!r} holds the parts "
                f"{quote(parts_among(seen.folders))}. {EXPECTED}. Try giving "
                f"'folder:{root / folder}'."
            )


def remark_classes(name: str, root: Path, looks: Mapping[str, Look]) -> list[str]:
    """Return remarks on classes whose folders the user may have meant otherwise."""
    remarks = [
        f"{name}: the folder {folder!r} is taken as a class, although its name looks like a part's."
        for folder, seen in looks.items()
        if seen.is_shelf and find_word(folder)
    ]
    inner = {seen.folders for seen in looks.values()}
    is_alike = len(looks) > 1 and len(inner) == 1 and all(seen.is_shelf for seen in looks.values())
    below = next(iter(inner), ())
    if is_alike and len(below) > 1:
        remarks.append(
            f"{name}: every class holds the folders {quote(below)}, which are taken together. If "
            f"they are the classes, give one folder alone, such as folder:{root / min(looks)}."
        )
    return remarks


def suggest_deeper(root: Path, classes: Iterable[str]) -> str:
    """Suggest a deeper path if only one class folder was found; empty without a better path."""
    for folder in classes:
        deeper = descend(root / folder)
        if look(deeper).is_shelf:
            return f"giving 'folder:{deeper}'"
    return ""


def descend(folder: Path) -> Path:
    """Go down while a folder holds one folder and no images, and return the last folder."""
    for _ in range(MAX_DEPTH):
        seen = look(folder)
        if len(seen.folders) != 1 or seen.has_images or not look(folder / seen.folders[0]).folders:
            return folder
        folder = folder / seen.folders[0]
    return folder


def look(folder: Path) -> Look:
    """Return the direct content of a folder; empty if it cannot be listed."""
    # No error here: the listing of all files reports a folder that cannot be listed.
    try:
        with os.scandir(folder) as entries:
            shown = [(entry.name, is_folder(entry)) for entry in entries if is_shown(entry.name)]
    except OSError:
        return Look(folders=(), has_images=False)
    return Look(
        folders=tuple(sorted(name for name, is_below in shown if is_below)),
        has_images=any(not is_below and is_image(name) for name, is_below in shown),
    )


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return True if an entry is a folder or a link to one; False for a broken link."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def subfolders(folder: Path) -> list[str]:
    """Return the names of a folder's folders without the hidden ones, in Unicode's order."""
    names = (child.name for child in folder.iterdir() if child.is_dir())
    return sorted(name for name in names if is_shown(name))


def is_shown(name: str) -> bool:
    """Return True for a file or folder that is read: neither hidden nor litter."""
    return not name.startswith(".") and not is_litter(name)


def is_litter(name: str) -> bool:
    """Return True if an operating system, and not the user, made this file or folder."""
    # macOS keeps the attributes of `x` in `._x`, which has the suffix of an image.
    return name.lower() in LITTER or name.startswith("._")


def is_image(file: str) -> bool:
    """Return True if a file has the suffix of a format that can be read."""
    return os.path.splitext(file)[1].lower() in SUFFIXES  # noqa: PTH122 - five times as fast


def parts_among(folders: Iterable[str]) -> list[str]:
    """Return the folders that have the name of a part."""
    return [folder for folder in folders if folder.lower() in PART_FOLDERS]


def find_word(folder: str) -> str | None:
    """Return the part that some word of a folder's name means; None if no word does."""
    words = re.split(r"[^a-z]+", folder.lower())
    return next((PART_WORDS[word] for word in words if word in PART_WORDS), None)


def quote(names: Iterable[str]) -> str:
    """Join the first `NUM_NAMED` names, in quotes, and count the others."""
    listed = [repr(name) for name in names]
    rest = f" and {len(listed) - NUM_NAMED} more" if len(listed) > NUM_NAMED else ""
    return ", ".join(listed[:NUM_NAMED]) + rest
