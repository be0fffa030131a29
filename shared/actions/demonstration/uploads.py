"""The folder of uploaded photos: how much it may hold, and what is refused before it is decoded."""

import io
import os
import shutil
import time
import warnings
from pathlib import Path

from PIL import Image

from poc.shared.data.sources.decoding import describe_error, known_formats
from poc.shared.data.sources.depth import WIDE_MODES, find_deep_mode
from poc.shared.data.sources.dicom import is_dicom, read_header
from poc.shared.files.regular_files import read_regular

MEBIBYTE = 1 << 20
MAX_FILE_BYTES = 32 * MEBIBYTE
# Measured: about 20 bytes a pixel of a transparent picture, 45 of one of 16-bit colours, 4 of
# others. The largest picture thus takes about 1 GB while it is decoded.
MAX_PIXELS, MAX_DEEP_PIXELS = 50_000_000, 20_000_000
# All files that wait for their answer.
MAX_FOLDER_BYTES = 8 * MAX_FILE_BYTES
# An answered photo is deleted at once; this is for uploads that nobody asked about.
SECONDS_KEPT = 120.0
# The transfer syntax of DICOM files that are compressed as a whole, to a size that nothing states.
DEFLATED = b"1.2.840.10008.1.2.1.99"
ADVICE = "drop a JPEG, PNG or WebP file of a photo"


class Uploads:
    """The folder of uploads; each file is in a folder of its own.

    Args:
        folder: Folder that nothing else writes to.
    """

    def __init__(self, folder: Path) -> None:
        # As the server names it, without links on the way.
        self.folder = folder.resolve()

    def holds(self, path: str) -> bool:
        """Tell if a path leads to a place below the folder, and not out of it again."""
        return Path(os.path.normpath(path)).is_relative_to(self.folder) and "\0" not in path

    def has_room(self, num_bytes: int) -> bool:
        """Tell if so many bytes more may come, after old files are deleted."""
        self.sweep()
        return num_bytes + sum(size_of(path) for path in self.files()) <= MAX_FOLDER_BYTES

    def sweep(self, seconds: float = SECONDS_KEPT) -> None:
        """Delete files that are older than this, and folders without one."""
        oldest = time.time() - seconds
        for path in self.files():
            # A file may be gone by now: another photo was answered.
            if modified(path) < oldest:
                path.unlink(missing_ok=True)
        for place in self.folder.iterdir():
            if place.is_dir() and modified(place) < oldest and not any(place.iterdir()):
                shutil.rmtree(place, ignore_errors=True)

    def discard(self, path: Path) -> None:
        """Delete an upload, with its own folder."""
        place = path.parent
        if place != self.folder and self.holds(str(path)):
            shutil.rmtree(place, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return all files."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


def size_of(path: Path) -> int:
    """Return a file's bytes; 0 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def modified(path: Path) -> float:
    """Return the time of a file's last change; that of now if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def find_problem(path: Path) -> str:
    """Say why a file is not decoded, in words that follow its name; empty if it may be.

    The file is read, but its pixels are not.
    """
    try:
        content, _ = read_regular(path)
        if not content:
            return "is empty"
        if len(content) > MAX_FILE_BYTES:
            return f"has {len(content) / MEBIBYTE:.0f} MiB, above {MAX_FILE_BYTES // MEBIBYTE}"
        width, height, most = measure_dicom(content) if is_dicom(content) else measure(content)
    except Image.DecompressionBombError:
        return f"announces more than {MAX_PIXELS:,} pixels"
    except Exception as error:  # Pillow's readers raise anything on damaged files.
        return describe_error(error, path)
    if width * height > most:
        return f"has {width} x {height} pixels, above {most:,}"
    return ""


def measure(content: bytes) -> tuple[int, int, int]:
    """Return the width and height that a file announces, and the most pixels for its kind."""
    with warnings.catch_warnings():
        # Its own limit is higher than this one, and it only warns.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=known_formats()) as picture:
            is_deep = bool(find_deep_mode(picture)) or picture.mode in WIDE_MODES
            return *picture.size, MAX_DEEP_PIXELS if is_deep else MAX_PIXELS


def measure_dicom(content: bytes) -> tuple[int, int, int]:
    """Return the same of a DICOM file.

    Raises:
        ValueError: It is compressed as a whole, or `pydicom` is not installed.
        Exception: `pydicom` raises many kinds on a damaged file.
    """
    if DEFLATED in content:
        raise ValueError("it is deflated as a whole, to a size that it does not state")
    header = read_header(content)
    return int(header.get("Columns") or 0), int(header.get("Rows") or 0), MAX_DEEP_PIXELS
