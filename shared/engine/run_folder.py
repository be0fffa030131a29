"""A run's folder: the only thing that tables, reports, paired tests and resumes read.

`run.json` (resolved spec, command, environment, status), `metrics.jsonl` (one object an epoch),
`summary.json` (the row of the comparison table), `predictions.npz` (test logits, labels, ids),
`checkpoints/`, `worker.log` and, once the run has been exported, `exports.json`.
"""

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError

from .files import finite, read_json, write_bytes, write_json

EXPORTS = "exports.json"
Status = Literal["running", "finished", "interrupted", "failed"]


class RunFolder:
    """Reads and writes one run's files; every whole-file write is atomic."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, *, overwrite: bool = False) -> "RunFolder":
        """Make the folder.

        Raises:
            UsageError: It holds something and `overwrite` is false, or it cannot be made.
        """
        folder = cls(path)
        if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
            if not overwrite:
                raise UsageError(
                    f"received the output {str(path)!r}, which already holds something; name a new "
                    "folder, or add --overwrite to replace a run"
                )
            folder.clear()
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"received the output {str(path)!r}, which cannot be made ({error.strerror}); name "
                "a folder that you may write to"
            ) from None
        return folder

    @property
    def checkpoints(self) -> Path:
        """Folder of the weight files."""
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        """What the worker process printed."""
        return self.path / "worker.log"

    def clear(self) -> None:
        """Remove a former run's own files, and nothing else.

        Raises:
            UsageError: The folder is no run folder.
        """
        if not (self.path / "run.json").is_file():
            raise UsageError(
                f"received --overwrite for {str(self.path)!r}, which is no run folder; "
                "remove it by hand"
            )
        own = [
            "run.json",
            "metrics.jsonl",
            "summary.json",
            "predictions.npz",
            "worker.log",
            "split.json",
            EXPORTS,
        ]
        written = [*self.checkpoints.glob("*.*"), *(self.path / "exports").glob("*.*")]
        for path in [*(self.path / name for name in own), *written]:
            path.unlink(missing_ok=True)

    def write_run(self, record: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        write_json(self.path / "run.json", record)

    def read_run(self) -> dict[str, Any]:
        """Read `run.json`."""
        return dict(read_json(self.path / "run.json"))

    def mark(self, status: Status, **more: Any) -> None:
        """Set the run's status, and further fields of `run.json`."""
        changed = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.write_run({**self.read_run(), "status": status, "status_changed": changed, **more})

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one epoch's line."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(dict(line))) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every epoch's line; a half-written last line is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def write_summary(self, row: Mapping[str, Any]) -> None:
        """Write the row of the comparison table."""
        write_json(self.path / "summary.json", row)

    def read_summary(self) -> dict[str, Any]:
        """Read the row of the comparison table."""
        return dict(read_json(self.path / "summary.json"))

    def write_predictions(
        self, logits: NDArray[Any], labels: NDArray[np.int64], ids: Sequence[str]
    ) -> None:
        """Write the test part's logits (N, C), labels (N,) and ids (N,)."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, logits=logits, labels=labels, ids=np.asarray(ids, dtype=np.str_)
        )
        write_bytes(self.path / "predictions.npz", buffer.getvalue())

    def read_exports(self) -> list[dict[str, Any]]:
        """What was exported, one object a file; empty where nothing was."""
        path = self.path / EXPORTS
        return list(read_json(path)) if path.exists() else []

    def add_export(self, row: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Note an export; it replaces one that has the same values under `keys`."""
        others = [
            other
            for other in self.read_exports()
            if any(other.get(key) != row[key] for key in keys)
        ]
        write_json(self.path / EXPORTS, [*others, dict(row)])
