"""What a run's folder says about its exports."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_json, write_json

EXPORTS = "exports.json"


class ExportNotes:
    """One object a file.

    Args:
        path: Of `exports.json`, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[dict[str, object]]:
        """All of them; empty where nothing was exported."""
        return list(read_json(self._path)) if self._path.exists() else []

    def own(self) -> list[dict[str, object]]:
        """The same, but for what cannot be read: no file is then known as the run's."""
        try:
            return [row for row in self.read() if isinstance(row, dict)]
        except (UsageError, TypeError):
            return []

    def add(self, row: Mapping[str, object], keys: Sequence[str]) -> None:
        """Note an export; it replaces one that has the same values under `keys`."""
        others = [other for other in self.read() if any(other.get(key) != row[key] for key in keys)]
        write_json(self._path, [*others, dict(row)])
