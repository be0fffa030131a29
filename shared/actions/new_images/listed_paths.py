"""Images that a command line names: files, folders, patterns, and a list from standard input."""

import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO

from poc.shared.data.sources.inspection import Note
from poc.shared.errors import UsageError
from poc.shared.files.cache import expand_home

from .given_images import Item, is_folder, list_files, refuse_empty

STANDARD_INPUT = "-"


def list_paths(
    arguments: Sequence[str], note: Note, standard_input: BinaryIO | None = None
) -> list[Item]:
    """List the images that arguments name, in their order; nothing is opened yet.

    A file that does not exist is listed too, so that its row gives the reason.

    Args:
        arguments: Each is a file, a folder for the image files below it that are not hidden, a
            pattern such as `photos/**/*.jpg`, or `-` for a list of paths.
        note: Called with a sentence about files of a folder that are no images.
        standard_input: Where `-` reads: a path per line, or separated by NUL bytes; none: the
            standard input.

    Raises:
        UsageError: There is no image, a pattern matches nothing, or a folder cannot be listed.
    """
    items: list[Item] = []
    for argument in arguments:
        is_list = argument == STANDARD_INPUT
        for path in read_list(standard_input) if is_list else expand(argument):
            items += list_path(path, note)
    if not items:
        named = ", ".join(map(repr, arguments[:3]))
        raise UsageError(
            f"Got no image ({named}). Expected files, or folders with image files. Try the path of "
            "one image."
        )
    return items


def list_path(text: str, note: Note) -> list[Item]:
    """Return the images of a path: the file itself, or the image files below it."""
    path = expand_home(text)
    if not is_folder(path):
        return [Item(text, path)]
    found = list_files(path, note)
    if not found:
        note(f"No image file is below {text!r}.")
    return found


def expand(argument: str) -> list[str]:
    """Return the paths that an argument stands for: itself, or those that its pattern matches.

    Raises:
        UsageError: The pattern matches nothing, or the argument is empty.
    """
    refuse_empty(argument)
    # A file may be named like a pattern, such as `cat[1].jpg`.
    if not has_magic(argument) or os.path.lexists(expand_home(argument)):
        return [argument]
    # Not `Path.glob`, which takes no absolute pattern.
    found = sorted(glob(str(expand_home(argument)), recursive=True))  # noqa: PTH207
    if not found:
        raise UsageError(
            f"Got the pattern {argument!r}, which matches no file. Expected the pattern of at "
            f"least one. Try `ls {Path(argument).parent}`, or quote it if the shell expands it."
        )
    return found


def read_list(stream: BinaryIO | None) -> Iterator[str]:
    """Yield the paths of a list: one per line, or between NUL bytes; empty ones are left out.

    Raises:
        UsageError: The list would be typed by hand.
    """
    if stream is None:
        if sys.stdin.isatty():
            raise UsageError(
                "Got - as a path, but nothing is piped into the command. Expected a list of paths. "
                "Try find photos -name '*.jpg' | poc predict RUN -"
            )
        stream = sys.stdin.buffer
    content = stream.read()
    separator = b"\0" if b"\0" in content else b"\n"
    for line in content.split(separator):
        if path := line.removesuffix(b"\r"):
            yield os.fsdecode(path)
