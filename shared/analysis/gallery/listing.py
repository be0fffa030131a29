"""The words and numbers of a gallery: tables for Markdown, and a CSV file."""

from collections.abc import Iterator, Sequence

import pandas as pd

from poc.shared.analysis.tables.table import Table, drop_silent_columns

from .albums import Album, Example

COLUMNS = (
    "row", "list", "place", "image", "true", "by", "seed", "answer", "about", "probability", "loss",
    "nearest_training_image", "nearest_true", "cosine",
)  # fmt: skip


def album_tables(albums: Sequence[Album]) -> list[Table]:
    """Return a table for each album, an answer per line."""
    columns = [
        "image", "true", "by", "answer", "about", "probability", "loss",
        "nearest training image", "its class", "cosine",
    ]  # fmt: skip
    return [
        drop_silent_columns(
            Table(
                title=album.title,
                columns=columns,
                rows=[line for example in album.examples for line in lines_of(example)],
                note=album.note,
                words=[
                    "image", "true", "by", "answer", "about", "nearest training image", "its class",
                ],
                is_stacked=True,
            )
        )
        for album in albums
    ]  # fmt: skip


def lines_of(example: Example) -> Iterator[list[str]]:
    """Yield the cells of an image, a line per answer."""
    near = example.neighbour
    for item in example.judgements:
        yield [
            example.id,
            example.truth,
            item.by,
            item.answer,
            item.about,
            write_probability(item.probability),
            f"{item.loss:.3f}",
            near.id if near else "",
            near.truth if near else "",
            write_probability(near.similarity) if near else "",
        ]


def write_probability(value: float) -> str:
    """Write a probability or a cosine; one that is not 1 is not rounded to 1."""
    return "> 0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def gallery_file(albums: Sequence[Album]) -> str:
    """Return the albums as CSV text, unrounded; names are not escaped."""
    lines = [
        (
            album.row,
            album.kind,
            place,
            example.id,
            example.truth,
            item.by,
            example.seeds[0] if example.seeds else None,
            item.answer,
            item.about,
            item.probability,
            item.loss,
            *((near.id, near.truth, near.similarity) if near else (None, None, None)),
        )
        for album in albums
        for place, example in enumerate(album.examples, 1)
        for near in (example.neighbour,)
        for item in example.judgements
    ]
    text: str = pd.DataFrame(lines, columns=COLUMNS).to_csv(index=False)
    return text
