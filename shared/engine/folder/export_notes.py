"""The list of a run's exports, in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json, write_json

from .own_files import is_noted

EXPORTS = "exports.json"


class ExportNotes:
    """Reader and writer of `exports.json`: one object per exported file.

    Args:
        path: Path of `exports.json`; a run without exports has no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[dict[str, object]]:
        """Return all entries; empty if nothing was exported."""
        return list(read_json(self._path)) if self._path.exists() else []

    def own(self) -> list[dict[str, object]]:
        """Return the readable entries, which name the files that the run may replace."""
        # An unreadable list counts as empty: no file is then known as the run's, and all stay.
        try:
            return [row for row in self.read() if isinstance(row, dict)]
        except (UsageError, TypeError):
            return []

    def add(self, row: Mapping[str, object], keys: Sequence[str]) -> None:
        """Add an export.

        It replaces an entry with the same values under `keys`, unless that is of a file elsewhere,
        which is still there: it would no longer be known as the run's.
        """
        others = [
            other
            for other in self.read()
            if any(other.get(key) != row[key] for key in keys) or self._is_elsewhere(other, row)
        ]
        write_json(self._path, [*others, dict(row)])

    def _is_elsewhere(self, other: Mapping[str, object], row: Mapping[str, object]) -> bool:
        """Tell if the file of an entry is unchanged, and another one than that of a new entry."""
        file, new = Path(str(other.get("file", ""))), Path(str(row.get("file", "")))
        is_equal = file.name == new.name and other.get("sha256") == row.get("sha256")
        if file == new or is_equal:
            return False
        # The folder may have been moved since.
        places = (file, self._path.parent / "exports" / file.name)
        return any(is_noted(place, [other]) for place in places)
