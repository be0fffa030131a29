"""Which folders of a set are its parts and which its classes, and layouts that are read too high.

A set that is unpacked once too often, or whose parts have names of their own, looks like classes:
`training_set/training_set/cats`. It is refused with the path to give. Classes may have folders in
them (patients, batches), as long as these do not look like parts.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from poc.shared.errors import UsageError

from .base import PARTITIONS

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
}
# What macOS, Windows and Synology put into folders and archives: no class is meant by them.
LITTER = {
    *("__macosx", "$recycle.bin", "system volume information", "@eadir"),
    *(".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized"),
}
ALLOWED = "allowed is one folder a class, or train, val and test that hold them"
MAX_DEPTH = 6
NUM_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Look:
    """What lies directly in a folder.

    Attributes:
        folders: Names, hidden ones left out, in Unicode's order.
        has_images: Whether some file is an image by its suffix.
    """

    folders: tuple[str, ...]
    has_images: bool

    @property
    def is_shelf(self) -> bool:
        """Whether it holds folders and no images of its own."""
        return bool(self.folders) and not self.has_images


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a set's folder is read.

    Attributes:
        parts: Folder -> part; empty: the folders are classes.
        unused: Folders beside the parts.
        remarks: What was decided and could have been meant otherwise.
    """

    parts: Mapping[str, str]
    unused: Sequence[str] = ()
    remarks: Sequence[str] = ()


def find_layout(name: str, root: Path) -> Layout:
    """Parts or classes of a set's folder.

    Raises:
        UsageError: The folder looks like one that is a level too high, or has parts without train.
        OSError: It cannot be listed.
    """
    looks = {folder: look(root / folder) for folder in subfolders(root)}
    parts = {folder: part for folder in looks if (part := PART_FOLDERS.get(folder.lower()))}
    for folder in parts:
        subfolders(root / folder)  # A part that may not be listed is no part without classes.
    # A class may be called train; without folders in it, it is no training part.
    if any(part == "train" and looks[folder].folders for folder, part in parts.items()):
        return read_parts(name, root, looks, parts)
    if len(set(parts.values())) > 1:
        first = min(parts, key=lambda folder: PARTITIONS.index(parts[folder]))
        what = "without folders in train" if "train" in parts.values() else "and no train"
        raise UsageError(
            f"received {name!r} with the parts {quote(parts)} {what}; {ALLOWED}: name the "
            f"training part train, or give one part alone, such as folder:{root / first}"
        )
    refuse_hidden_parts(name, root, looks)
    return Layout(parts={}, remarks=remark_classes(name, root, looks))


def read_parts(
    name: str, root: Path, looks: Mapping[str, Look], parts: Mapping[str, str]
) -> Layout:
    """The layout of a folder with a training part.

    Raises:
        UsageError: Two folders are one part, or a part's classes lie a level deeper.
    """
    order = sorted(parts, key=lambda folder: PARTITIONS.index(parts[folder]))
    if len(set(parts.values())) < len(parts):
        raise UsageError(
            f"received {name!r} with the folders {quote(order)}, two of which are one part; "
            "allowed is one folder a part: rename or move one"
        )
    classes = looks[order[0]].folders
    for folder in order:
        below = looks[folder].folders
        # A test of one class may be meant, a training of one is not.
        is_class = len(classes) > 1 and below[:1] and below[0] in classes
        if len(below) == 1 and not is_class and look(root / folder / below[0]).is_shelf:
            raise UsageError(
                f"received {name!r}, whose part {folder!r} holds one folder, {below[0]!r}, that "
                f"holds folders; {ALLOWED}: move the class folders up, or give one part alone, "
                f"such as folder:{descend(root / folder)}"
            )
    remarks = [
        f"{name}: the folder {folder!r} is taken as the validation part."
        for folder in order
        if folder.lower() == "dev"
    ]
    unused = [folder for folder in looks if folder not in parts]
    if unused:
        remarks.append(
            f"{name}: {quote(unused)} beside {quote(order)} is not used: only these are parts."
        )
    return Layout(parts={folder: parts[folder] for folder in order}, unused=unused, remarks=remarks)


def refuse_hidden_parts(name: str, root: Path, looks: Mapping[str, Look]) -> None:
    """Refuse classes that look like parts, or that hold parts.

    Raises:
        UsageError: Names the path to give.
    """
    like = {folder: find_word(folder) for folder in looks if looks[folder].is_shelf}
    found = {folder: part for folder, part in like.items() if part}
    if len(set(found.values())) > 1:
        order = sorted(found, key=lambda folder: PARTITIONS.index(found[folder]))
        raise UsageError(
            f"received {name!r}, whose folders {quote(order)} look like parts and hold no images "
            f"of their own; {ALLOWED}: give one part alone, such as "
            f"folder:{descend(root / order[0])}, or name the folders train, val and test"
        )
    for folder, seen in looks.items():
        inner = {PART_FOLDERS[below.lower()] for below in parts_among(seen.folders)}
        shelves = [
            below for below in parts_among(seen.folders) if look(root / folder / below).is_shelf
        ]
        if len(inner) > 1 and shelves:
            raise UsageError(
                f"received {name!r}, whose folder {folder!r} holds the parts "
                f"{quote(parts_among(seen.folders))}; {ALLOWED}: give folder:{root / folder}"
            )


def remark_classes(name: str, root: Path, looks: Mapping[str, Look]) -> list[str]:
    """What is told where classes hold folders that may be meant otherwise."""
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
    """What to type where one folder alone was found as a class; empty: nothing better is known."""
    for folder in classes:
        deeper = descend(root / folder)
        if look(deeper).is_shelf:
            return f"give folder:{deeper}"
    return ""


def descend(folder: Path) -> Path:
    """Down as long as a folder holds one folder and no images."""
    for _ in range(MAX_DEPTH):
        seen = look(folder)
        if len(seen.folders) != 1 or seen.has_images or not look(folder / seen.folders[0]).folders:
            return folder
        folder = folder / seen.folders[0]
    return folder


def look(folder: Path) -> Look:
    """What lies directly in a folder; nothing where it cannot be listed, which is told later."""
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
    """Whether an entry leads to a folder; one that leads nowhere does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, hidden ones left out, in Unicode's order."""
    names = (child.name for child in folder.iterdir() if child.is_dir())
    return sorted(name for name in names if is_shown(name))


def is_shown(name: str) -> bool:
    """Whether a file or folder is looked at: neither hidden nor litter."""
    return not name.startswith(".") and not is_litter(name)


def is_litter(name: str) -> bool:
    """Whether a system put this file or folder there, and nobody else."""
    return name.lower() in LITTER or name.startswith("._")


def is_image(file: str) -> bool:
    """Whether a file's suffix is one of an image that can be read."""
    return os.path.splitext(file)[1].lower() in SUFFIXES  # noqa: PTH122 - five times as fast


def parts_among(folders: Iterable[str]) -> list[str]:
    """Those that are called like a part."""
    return [folder for folder in folders if folder.lower() in PART_FOLDERS]


def find_word(folder: str) -> str | None:
    """The part that some word of a folder's name means; none: no word does."""
    words = re.split(r"[^a-z]+", folder.lower())
    return next((PART_WORDS[word] for word in words if word in PART_WORDS), None)


def quote(names: Iterable[str]) -> str:
    """The first names, in quotes."""
    listed = [repr(name) for name in names]
    rest = f" and {len(listed) - NUM_NAMED} more" if len(listed) > NUM_NAMED else ""
    return ", ".join(listed[:NUM_NAMED]) + rest
