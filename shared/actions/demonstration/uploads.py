"""The folder of uploaded photos: how much it may hold, and what is refused before it is decoded."""

import io
import os
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Lock

from PIL import Image

from poc.shared.data.sources.decoding import EmptyFile, describe_error, known_formats
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
ADVICE = "drop a JPEG, PNG or WebP file of a photo"


class Uploads:
    """The folder of uploads; each file is in a folder that its content names.

    Visitors who upload the same photo under the same name thus share its file. It is deleted when
    each of these uploads has its answer.

    Args:
        folder: Folder that nothing else writes to.
    """

    def __init__(self, folder: Path) -> None:
        # As the server names it, without links on the way.
        self.folder = folder.resolve()
        # The page's server and the threads that answer both come here.
        self._lock = Lock()
        self._reserved = self._num_landing = 0
        self._unanswered: Counter[Path] = Counter()
        self._answered: set[Path] = set()

    def holds(self, path: str) -> bool:
        """Tell if a path leads to a file below the folder, or to where one was.

        A path that leads out of the folder again, or to a folder, does not.
        """
        place = normal(Path(path))
        # Unlike Path.is_dir, it raises nothing for a name that is too long, or not of characters.
        is_folder = os.path.isdir(place)  # noqa: PTH112
        return place.is_relative_to(self.folder) and not is_folder and "\0" not in path

    def reserve(self, num_bytes: int) -> bool:
        """Keep room for an upload that is coming; False if there is none.

        Old files are deleted before. `release` gives the room back.
        """
        self.sweep()
        with self._lock:
            taken = self._reserved + sum(size_of(path) for path in self.files())
            if taken + num_bytes > MAX_FOLDER_BYTES:
                return False
            self._reserved += num_bytes
            return True

    def release(self, num_bytes: int) -> None:
        """Give back the room of an upload, which is a file now, or was broken off."""
        with self._lock:
            self._reserved -= num_bytes

    def start_landing(self) -> None:
        """Delete nothing from now on: the last bytes of an upload are there.

        Its file may be one that another visitor's answer would delete.
        """
        with self._lock:
            self._num_landing += 1

    def note(self, path: Path) -> None:
        """Note an upload that will be asked about."""
        with self._lock:
            self._unanswered[normal(path)] += 1

    def end_landing(self) -> None:
        """Delete the answered photos again."""
        with self._lock:
            self._num_landing -= 1
            self._delete_answered()

    def discard(self, path: Path) -> None:
        """Delete an answered upload, unless another one of the same photo waits."""
        with self._lock:
            self._unanswered[normal(path)] -= 1
            self._answered.add(normal(path))
            self._delete_answered()

    def sweep(self, seconds: float = SECONDS_KEPT) -> None:
        """Delete files that are older than this, and folders without one."""
        oldest = time.time() - seconds
        with self._lock:
            for path in self.files():
                # A file may be gone by now: another photo was answered.
                if modified(path) < oldest:
                    remove_file(path)
            for path in [path for path in self._unanswered if not path.exists()]:
                del self._unanswered[path]
            for place in self.folder.iterdir():
                if self._num_landing == 0 and place.is_dir() and modified(place) < oldest:
                    remove_empty(place)

    def _delete_answered(self) -> None:
        if self._num_landing:
            return
        # Taken out before: what cannot be deleted must not end the deleting of the others.
        answered, self._answered = self._answered, set()
        for path in answered:
            if self._unanswered[path] <= 0:
                del self._unanswered[path]
                remove_file(path)
                if path.parent != self.folder:
                    remove_empty(path.parent)

    def files(self) -> list[Path]:
        """Return all files."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


def normal(path: Path) -> Path:
    """Return a path without detours, so that equal places are equal."""
    return Path(os.path.normpath(path))


def remove_file(path: Path) -> None:
    """Remove a file, if there is one that can be removed."""
    # Questions may name places that no file can have; ValueError: no name of characters.
    with suppress(OSError, ValueError):
        path.unlink()


def remove_empty(place: Path) -> None:
    """Remove a folder if nothing is in it."""
    with suppress(OSError, ValueError):
        place.rmdir()


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
            raise EmptyFile
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
        UnfitFile: It is compressed as a whole, or `pydicom` is not installed.
        Exception: `pydicom` raises many kinds on a damaged file.
    """
    header = read_header(content)
    return int(header.get("Columns") or 0), int(header.get("Rows") or 0), MAX_DEEP_PIXELS
