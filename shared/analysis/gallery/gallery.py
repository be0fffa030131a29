"""The gallery of a report: its albums, with as many thumbnails as a page of 2 MB takes.

The data of each run is opened again. If images cannot be shown, a sentence gives the reason, and
their words are listed all the same.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from poc.shared.analysis.runs.groups import DataKey, Group
from poc.shared.errors import UsageError
from poc.shared.shown_names import plain

from .albums import Album, Example, make_albums
from .neighbours import FindNeighbours, Neighbour
from .reopening import Reopened, describe_fault, reopen
from .thumbnails import Thumbnail, make_thumbnail

MAX_PAGE_BYTES = 2_000_000
# Markup around an image, and around its words, of which each may be written twice.
MARKUP_BYTES, WORD_BYTES = 250, 900
# Raised by a run that cannot be opened, and by a framework that is missing or ends.
FAULTS = (UsageError, OSError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Albums of a report, and sentences about what they do not show.

    Attributes:
        albums: The albums, in the order of the page.
        sources: Run folder -> its data, opened again.
        remarks: Missing images and the reason, one sentence each.
    """

    albums: Sequence[Album]
    sources: Mapping[Path, Reopened]
    remarks: Sequence[str] = ()


def open_gallery(groups: Sequence[Group], find_neighbours: FindNeighbours | None) -> Gallery:
    """Choose the images of a report, and open the data that holds them.

    Args:
        groups: The rows.
        find_neighbours: Finds the nearest training images; None leaves them out.
    """
    albums = make_albums(groups)
    folders = {album.folder: data_of(groups, album.folder) for album in albums}
    opened: dict[DataKey, Reopened | str] = {}
    for folder, key in folders.items():
        if key not in opened:
            opened[key] = reopen(folder)
    remarks = [
        f"The images of {key.source} are not shown, because {found}."
        for key, found in opened.items()
        if isinstance(found, str)
    ]
    sources = {
        folder: found
        for folder, key in folders.items()
        if not isinstance(found := opened[key], str)
    }
    if find_neighbours is not None:
        albums, faults = add_neighbours(albums, sources, find_neighbours)
        remarks += faults
    return Gallery(albums=albums, sources=sources, remarks=remarks)


def data_of(groups: Sequence[Group], folder: Path) -> DataKey:
    """Return the data of the row that has a run in this folder."""
    owners = (group for group in groups if any(run.name == str(folder) for run in group.runs))
    return next(owners).data


def add_neighbours(
    albums: Sequence[Album], sources: Mapping[Path, Reopened], find_neighbours: FindNeighbours
) -> tuple[list[Album], list[str]]:
    """Add the nearest training image to each example whose data could be opened.

    Returns:
        The albums, and a sentence for each run whose neighbours cannot be found.
    """
    wanted: dict[Path, list[str]] = {folder: [] for folder in sources}
    for album in albums:
        if album.folder in wanted:
            own = wanted[album.folder]
            own += [example.id for example in album.examples if example.id not in own]
    found: dict[Path, Mapping[str, Neighbour]] = {}
    faults = []
    for folder, ids in wanted.items():
        try:
            found[folder] = find_neighbours(folder, ids)
        except FAULTS as error:
            reason = describe_fault(error)
            faults.append(f"The nearest training images of {folder} are missing: {reason}.")
    return [
        replace(
            album,
            examples=[
                replace(example, neighbour=found.get(album.folder, {}).get(example.id))
                for example in album.examples
            ],
        )
        for album in albums
    ], faults


def fit_page(gallery: Gallery, num_bytes: int) -> Gallery:
    """Return the albums and thumbnails that a page still has room for.

    Words come before pictures, and albums in their order; a sentence says what is left out.

    Args:
        gallery: All albums, without thumbnails.
        num_bytes: Bytes that the page may grow by.
    """
    kept: list[Album] = []
    for album in gallery.albums:
        num_bytes -= sum(map(count_word_bytes, album.examples))
        if num_bytes < 0:
            break
        kept.append(album)
    hung, faults, num_missing = hang(kept, gallery.sources, num_bytes)
    remarks = [*gallery.remarks, *faults]
    if num_missing:
        remarks.append(
            f"{num_missing:,} pictures are left out, because a page holds at most "
            f"{MAX_PAGE_BYTES / 1e6:g} MB; their words are complete."
        )
    if len(kept) < len(gallery.albums):
        remarks.append(
            f"{len(gallery.albums) - len(kept):,} further lists are in gallery.csv, because a page "
            f"holds at most {MAX_PAGE_BYTES / 1e6:g} MB."
        )
    return replace(gallery, albums=hung, remarks=remarks)


def count_word_bytes(example: Example) -> int:
    """Return the bytes that the words of an example take at most."""
    texts = [example.id, example.truth]
    texts += [text for item in example.judgements for text in (item.answer, item.about)]
    if example.neighbour:
        texts += [example.neighbour.id, example.neighbour.truth]
    # An id is also an alternative text.
    return WORD_BYTES + 2 * sum(len(html.escape(plain(text)).encode()) for text in texts)


def hang(
    albums: Sequence[Album], sources: Mapping[Path, Reopened], num_bytes: int
) -> tuple[list[Album], list[str], int]:
    """Add thumbnails to albums until the bytes are spent.

    Returns:
        The albums, a sentence for each unreadable image, and how many pictures had no room.
    """
    hung: list[Album] = []
    faults: list[str] = []
    num_missing = 0
    for album in albums:
        source = sources.get(album.folder)
        examples = []
        for example in album.examples:
            thumbnails = [] if source is None else list(show(example, source, faults))
            cost = sum(MARKUP_BYTES + len(item.uri) for item in thumbnails if item)
            if cost > num_bytes:
                num_missing += sum(item is not None for item in thumbnails)
                thumbnails = []
            else:
                num_bytes -= cost
            examples.append(with_thumbnails(example, thumbnails))
        hung.append(replace(album, examples=examples))
    return hung, list(dict.fromkeys(faults)), num_missing


def show(example: Example, source: Reopened, faults: list[str]) -> Iterator[Thumbnail | None]:
    """Yield the thumbnail of an image, and that of its neighbour; None for one that is unreadable.

    Args:
        example: The image.
        source: The opened data.
        faults: A sentence is appended for each image that cannot be read.
    """
    for name in (example.id, *([example.neighbour.id] if example.neighbour else [])):
        try:
            yield make_thumbnail(source.picture(name))
        except Exception as error:  # Pillow's readers raise anything on damaged files.
            faults.append(f"{name} cannot be shown: {describe_fault(error)}.")
            yield None


def with_thumbnails(example: Example, thumbnails: Sequence[Thumbnail | None]) -> Example:
    """Return the example with its thumbnail, and that of its neighbour."""
    own, other = (*thumbnails, None, None)[:2]
    neighbour = example.neighbour and replace(example.neighbour, thumbnail=other)
    return replace(example, thumbnail=own, neighbour=neighbour)
