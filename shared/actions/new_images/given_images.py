"""Images that a user hands over to be classified: files, folders, pictures and arrays."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from PIL import Image

from poc.shared.data.sources.base import Pixels
from poc.shared.data.sources.class_folders.layout import is_image, is_litter, is_shown
from poc.shared.data.sources.class_folders.listing import describe_ignored
from poc.shared.data.sources.decoding import decode_file, decode_picture, describe_error
from poc.shared.data.sources.inspection import Note, ignore, inspect_all
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array
from poc.shared.files.cache import expand_home
from poc.shared.shown_names import plain

One = str | os.PathLike[str] | Image.Image | Array
Given = One | Iterable[One]
# Array's channels -> what they are.
CHANNELS = {1: "grey", 3: "RGB", 4: "RGB with transparency"}
NUM_NAMED = 5
EXPECTED = (
    "Expected paths of image files or folders, Pillow pictures, and uint8 arrays (H, W, C) or "
    "(N, H, W, C) of 1, 3 or 4 channels"
)


class UnreadableImage(UsageError):  # noqa: N818 - the words that a user would say
    """An image that cannot be decoded.

    Attributes:
        problem: Words that follow the name, such as `is no image that Pillow knows`.
    """

    def __init__(self, name: str | int, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"Got the image {name!r}, which {problem}. Expected a readable image. Try repairing it "
            "or leaving it out."
        )


class Item(NamedTuple):
    """One image, and the name that its row has: its path as given, or its position."""

    name: str | int
    content: Path | Image.Image | Pixels


def read_picture(item: Item, channels: int) -> Image.Image:
    """Decode an image to Pillow's picture, by the rules of a run.

    Args:
        item: The image.
        channels: 1 or 3, as the network takes them.

    Raises:
        UsageError: It cannot be decoded; the message names it.
    """
    name, content = item
    try:
        if isinstance(content, Path):
            return decode_file(content, channels)
        picture = content if isinstance(content, Image.Image) else show_array(content)
        return decode_picture(picture, channels)
    except Exception as error:  # Pillow's readers raise anything on damaged files.
        path = content if isinstance(content, Path) else Path()
        raise UnreadableImage(name, describe_error(error, path)) from None


def collect_images(images: Given, note: Note) -> list[Item]:
    """List the given images, and look at every file once.

    Args:
        images: A path of a file or of a folder, which stands for the image files below it that are
            not hidden; a Pillow picture; a uint8 array (H, W), (H, W, C) or (N, H, W, C), with C =
            1, 3 or 4; or several of these, such as a list or `Path.glob`.
        note: Called with a sentence about files of a folder that are no images.

    Raises:
        UsageError: There is no image, one is of another kind, or a file cannot be read.
    """
    several = cast(Iterable[One], images if is_several(images) else [images])
    items: list[Item] = []
    for one in several:
        items += list_items(one, len(items), note)
    if not items:
        raise UsageError(f"Got no image. {EXPECTED}. Try the path of one.")
    refuse_unreadable([item.content for item in items if isinstance(item.content, Path)])
    return items


def is_several(images: Given) -> bool:
    """Tell if images are a list or another iterable, and not one path, picture or array."""
    # An open file gives lines and a mapping gives keys, neither of them images.
    is_one = isinstance(images, str | bytes | np.ndarray | Mapping) or hasattr(images, "read")
    return isinstance(images, Iterable) and not is_one


def list_items(one: One, position: int, note: Note) -> list[Item]:
    """Return the images that one given thing stands for; `position` is that of the first.

    `one` is as in `collect_images`: an array is (H, W), (H, W, C) or (N, H, W, C).
    """
    if isinstance(one, str | os.PathLike):
        refuse_empty(os.fspath(one))
        path = expand_home(os.fspath(one))
        return list_files(path, note) if is_folder(path) else [Item(str(one), path)]
    if isinstance(one, Image.Image):
        return [Item(position, one)]
    if isinstance(one, np.ndarray):
        return [Item(position + index, each) for index, each in enumerate(split_array(one))]
    raise UsageError(f"Got an image of type {type(one).__name__}. {EXPECTED}. Try converting it.")


def is_folder(path: Path) -> bool:
    """Tell if a path is a folder; a name that no file system could hold is none."""
    return os.path.isdir(path)  # noqa: PTH112  # `Path.is_dir` raises where a name is too long.


def refuse_empty(path: str) -> None:
    """Refuse a path without a character, which would stand for the present folder.

    Raises:
        UsageError: It is empty, as an unset variable of a shell is.
    """
    if not path.strip():
        raise UsageError(
            f"Got the path {path!r}. Expected the path of an image file or of a folder. Try . for "
            "the present folder."
        )


def split_array(array: Array) -> list[Pixels]:
    """Return the images (H, W, C) uint8 of an array (H, W), (H, W, C) or (N, H, W, C).

    Raises:
        UsageError: It has another type or shape, or no pixel.
    """
    shaped = array[..., np.newaxis] if array.ndim == 2 else array
    is_known = shaped.ndim in (3, 4) and shaped.shape[-1] in CHANNELS and shaped.size
    if array.dtype != np.uint8 or not is_known:
        raise UsageError(
            f"Got an array of shape {array.shape} and type {array.dtype}. {EXPECTED}. Try "
            "scaling its values to 0 to 255, with the channels as its last axis."
        )
    pixels: Pixels = shaped.astype(np.uint8, copy=False)
    return list(pixels) if pixels.ndim == 4 else [pixels]


def show_array(image: Pixels) -> Image.Image:
    """Return an image (H, W, C) uint8 as a picture of mode `L`, `RGB` or `RGBA`."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def list_files(folder: Path, note: Note) -> list[Item]:
    """Return the image files in or below the folder, sorted by path; note the other files.

    Raises:
        UsageError: A folder below it cannot be listed.
    """
    found = sorted(walk(folder))
    images = [path for path in found if is_image(path.name) and not is_litter(path.name)]
    kept = set(images)
    if ignored := [str(path) for path in found if path not in kept]:
        note(f"Ignored in {str(folder)!r}: {describe_ignored(ignored)}.")
    return [Item(str(path), path) for path in images]


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden; visit every real folder once.

    Raises:
        UsageError: A folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(
            f"Got the folder {error.filename!r}, which cannot be listed ({error.strerror}). "
            "Expected a folder that you may read. Try correcting its permissions."
        )

    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        facts = Path(place).stat()
        # Links are followed, so a link to a folder above would otherwise never end.
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if is_shown(name))
        yield from (Path(place) / name for name in sorted(files) if is_shown(name))


def refuse_unreadable(paths: Sequence[Path]) -> None:
    """Refuse files that cannot be decoded, before any work starts.

    Raises:
        UsageError: Some file cannot be read; the message names the first ones.
    """
    facts = zip(paths, inspect_all(paths, ignore), strict=True)
    wrong = [f"{str(path)!r} {fact.error}" for path, fact in facts if fact.error]
    if wrong:
        named = "; ".join(plain(text) for text in wrong[:NUM_NAMED])
        rest = f" and {len(wrong) - NUM_NAMED:,} more" if len(wrong) > NUM_NAMED else ""
        raise UsageError(
            f"Got {len(wrong):,} of {len(paths):,} files that cannot be read ({named}{rest}). "
            "Expected readable images. Try repairing or leaving them out."
        )
