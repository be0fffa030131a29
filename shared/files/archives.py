"""Zip archives whose bytes depend on their content alone."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .whole import replacing

# The first moment that the format can name; the real one would change the bytes.
NO_TIME = (1980, 1, 1, 0, 0, 0)
UNIX, MODE = 3, 0o100644 << 16


def write_zip(path: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write an archive completely or not at all; equal names and contents give equal bytes.

    Members are not compressed: weights hardly get smaller, and another version of the library that
    compresses would give other bytes.

    Args:
        path: The archive, which is replaced if it exists.
        members: Name in the archive -> file, or content.
    """
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, NO_TIME)
            entry.create_system, entry.external_attr = UNIX, MODE
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                continue
            entry.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)
