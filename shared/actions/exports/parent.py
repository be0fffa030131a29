"""The folder of an exported file: made for it, and gone again if the export fails."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from poc.shared.errors import UsageError


@contextmanager
def made_parent(target: Path) -> Iterator[None]:
    """Make the folder of a file; a block that fails leaves no empty one behind.

    Raises:
        UsageError: It cannot be made.
    """
    new = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(target)!r}, whose folder cannot be made ({error.strerror}). "
            "Expected a file in a folder that you may write to. Try --output "
            f"{target.name}, in the current folder."
        ) from None
    try:
        yield
    except BaseException:
        for folder in new:
            # One that has a file in it is kept.
            with suppress(OSError):
                folder.rmdir()
        raise
