"""The image files of a set's class folders, and all other files, which are not read."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.shown_names import plain, say

from .layout import find_layout, is_image, is_litter, is_shown, subfolders

# Suffixes of image formats that are not read here: a note advises to convert such files.
FOREIGN_SUFFIXES = {
    *(".heic", ".heif", ".hif", ".jxl", ".tga", ".svg", ".psd", ".exr", ".hdr"),
    *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".raw", ".eps", ".ico"),
    *(".j2k", ".jpx", ".jpc", ".nii", ".mha", ".mhd", ".nrrd", ".svs", ".ndpi", ".npy"),
}
NO_SUFFIX, LITTER = "no suffix", "of a system"
NUM_NAMED = 5


@dataclass
class Listing:
    """The content of a set's folder, before any file is opened.

    Attributes:
        names: Paths of image files below the folder, in the order of their ids.
        parts: Part of each; empty text if the folder has no parts.
        classes: Class name of each.
        empty_classes: Class folders without an image file.
        ignored: Files that are no images by their suffix, or are in no class folder; files and
            folders that a system put there. The names of folders end in a slash.
        loops: Links that lead back to a folder that was read already.
        unlisted: Folder in a class folder that cannot be listed -> reason.
        unused: Folders next to the parts, which are not read.
        remarks: See `layout.Layout`.
    """

    names: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    unlisted: dict[str, str] = field(default_factory=dict)
    unused: Sequence[str] = ()
    remarks: Sequence[str] = ()


def list_folder(name: str, root: Path) -> Listing:
    """List all image files below class folders.

    Raises:
        UsageError: The folder does not exist, or has no class folders at the expected level.
    """
    if not root.is_dir():
        raise UsageError(
            f"Got {name!r}, but there is no folder {str(root)!r}. Expected a folder with one "
            "folder per class, or with train, val and test that hold the class folders. Try "
            "correcting the path."
        )
    listing = Listing()
    try:
        list_parts(name, root, listing)
    except OSError as error:
        raise UsageError(
            f"Got {name!r}, which cannot be listed ({error.strerror}: {error.filename!r}). "
            "Expected a folder that you may read. Try correcting the path or its permissions."
        ) from None
    if not listing.names and not listing.empty_classes:
        raise UsageError(
            f"Got {name!r}, which holds no class folders. Expected one folder per class. Try "
            "correcting the path."
        )
    return listing


def list_parts(name: str, root: Path, listing: Listing) -> None:
    """Add the class folders of every part, or of the flat folder."""
    layout = find_layout(name, root)
    listing.unused, listing.remarks = layout.unused, layout.remarks
    if layout.parts:
        listing.ignored += stray_files(root, "")
    for folder, part in (layout.parts or {"": ""}).items():
        list_classes(root, folder, part, listing)


def list_classes(root: Path, below: str, part: str, listing: Listing) -> None:
    """Add the class folders of one part."""
    listing.ignored += stray_files(root, below)
    for folder in subfolders(root / below):
        where = f"{below}/{folder}".lstrip("/")
        found = list(walk(root, where, listing))
        images = [name for name in found if is_image(name) and not is_litter(Path(name).name)]
        # A set, because a class may have a million files.
        kept = set(images)
        listing.ignored += [name for name in found if name not in kept]
        if not images:
            listing.empty_classes.append(where)
        listing.names += images
        listing.parts += [part] * len(images)
        listing.classes += [unicodedata.normalize("NFC", folder)] * len(images)


def stray_files(root: Path, below: str) -> list[str]:
    """Return the files next to class folders, in none of them, and folders that a system made."""
    return [
        f"{below}/{child.name}{'/' if child.is_dir() else ''}".lstrip("/")
        for child in sorted((root / below).iterdir())
        if is_litter(child.name) or (not child.is_dir() and is_shown(child.name))
    ]


def walk(root: Path, where: str, listing: Listing) -> Iterator[str]:
    """Yield the files below a class folder; visit every real folder once."""
    # Links to folders are followed, so a link to a folder above would otherwise never end.

    def keep_error(error: OSError) -> None:
        folder = Path(os.fsdecode(error.filename)).relative_to(root).as_posix()
        listing.unlisted[f"{folder}/"] = f"cannot be listed ({error.strerror})"

    above = [root, *(root / parent for parent in Path(where).parents)]
    seen = {(facts.st_dev, facts.st_ino) for facts in (folder.stat() for folder in above)}
    for folder, children, files in os.walk(root / where, onerror=keep_error, followlinks=True):
        facts = Path(folder).stat()
        if (facts.st_dev, facts.st_ino) in seen:
            listing.loops.append(Path(folder).relative_to(root).as_posix())
            children.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        relative = Path(folder).relative_to(root).as_posix()
        listing.ignored += [f"{relative}/{name}/" for name in sorted(children) if is_litter(name)]
        children[:] = sorted(name for name in children if is_shown(name))
        yield from (f"{relative}/{x}" for x in sorted(files) if is_shown(x) or is_litter(x))


def count_suffixes(names: Sequence[str]) -> dict[str, int]:
    """Count files by suffix in lower case, the most frequent first; all litter is one kind."""
    counts = Counter(
        LITTER if is_litter(Path(name).name) else Path(name).suffix.lower() or NO_SUFFIX
        for name in names
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def describe_ignored(names: Sequence[str]) -> str:
    """Describe the ignored files, images first; empty if there are none."""
    counts = count_suffixes(names)
    foreign = {suffix: count for suffix, count in counts.items() if suffix in FOREIGN_SUFFIXES}
    stray = {suffix: count for suffix, count in counts.items() if is_image(f"x{suffix}")}
    bare = {suffix: count for suffix, count in counts.items() if suffix == NO_SUFFIX}
    litter = {suffix: count for suffix, count in counts.items() if suffix == LITTER}
    known = foreign | stray | bare | litter
    other = {suffix: count for suffix, count in counts.items() if suffix not in known}
    not_read = "of a kind that is not read, convert"
    clauses = [
        state(foreign, "image", f"{not_read} it", f"{not_read} them"),
        state(stray, "image", "that lies in no class folder", "that lie in no class folder"),
        state(bare, "file", "without a suffix"),
        state(other, "file", "that is no image", "that are no images"),
        state(litter, "file or folder", "that macOS or Windows made"),
    ]
    return "; ".join(clause for clause in clauses if clause)


def state(counts: Mapping[str, int], what: str, one: str, many: str | None = None) -> str:
    """Describe files by their number, kind and suffixes; empty if the count is zero.

    Args:
        counts: Suffix -> files.
        what: Noun for one of them, or two nouns joined by " or ".
        one: Words after the noun for one file.
        many: Words after the noun for several files; None for the same words.
    """
    if not counts:
        return ""
    count = sum(counts.values())
    nouns = [say(count, noun).partition(" ")[2] for noun in what.split(" or ")]
    total = f"{count:,} {' or '.join(nouns)} {one if count == 1 or many is None else many}"
    if set(counts) <= {NO_SUFFIX, LITTER}:
        return total
    named = [f"{count:,} {plain(suffix)}" for suffix, count in list(counts.items())[:NUM_NAMED]]
    rest = ", …" if len(counts) > NUM_NAMED else ""
    return f"{total} ({', '.join(named)}{rest})"
