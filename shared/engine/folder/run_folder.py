"""A run's folder: the only thing that tables, reports, paired tests and resumes read.

`run.json` (resolved spec, command, environment, status), `metrics.jsonl` (one object an epoch),
`summary.json` (the row of the comparison table), `predictions.npz` (test logits, labels, ids),
`split.npz` (which examples each part held), `checkpoints/`, `worker.log` and, once the run has been
exported, `exports.json`.
"""

import io
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array
from poc.shared.files.whole import (
    finite,
    read_object,
    read_regular,
    write_bytes,
    write_json,
)
from poc.shared.spec.reading.stored_runs import read_as_meant

from .checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from .disk_reserve import give_room, keep_room, write_with_room
from .export_notes import EXPORTS, ExportNotes
from .frozen_tensors import FrozenTensors
from .own_files import EXPORT_LEFTOVER, find_checkpoints, find_exports

# The file that a run holds while it writes (run_lock.py).
LOCK = "lock"
# Which examples each part held (data/splits/recorded.py).
SPLIT = "split.npz"
Status = Literal["running", "finished", "interrupted", "failed"]


class RunFolder:
    """Reads and writes one run's files; every whole-file write is atomic."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, *, overwrite: bool = False) -> "RunFolder":
        """Make the folder, without a former run's files.

        Raises:
            UsageError: It holds something and `overwrite` is false, or it cannot be made.
        """
        folder = cls(cls.reserve(path, overwrite=overwrite))
        if not folder.is_unused():
            folder.clear()
        folder.make(folder.checkpoints)
        return folder

    @classmethod
    def reserve(cls, path: Path | str, *, overwrite: bool = False) -> Path:
        """Make the empty folder, or look at the one that is there without changing it.

        Raises:
            UsageError: As `create`.
        """
        folder = cls(path)
        folder.require_room(overwrite=overwrite)
        folder.make(folder.path)
        return folder.path

    def require_room(self, *, overwrite: bool) -> None:
        """Refuse a folder that no run may begin in.

        Raises:
            UsageError: It holds something and `overwrite` is false, or what is no run.
        """
        if not self.path.exists() or self.is_unused():
            return
        if not overwrite:
            raise UsageError(
                f"received the output {str(self.path)!r}, which already holds something; name a "
                "new folder, or add --overwrite to replace a run"
            )
        self.require_run()

    def make(self, path: Path) -> None:
        """Make a folder of the run.

        Raises:
            UsageError: It cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"received the output {str(self.path)!r}, which cannot be made ({error.strerror}); "
                "name a folder that you may write to"
            ) from None

    def is_unused(self) -> bool:
        """Whether nothing has begun here: empty, or left by a run that was ended at once."""
        if not self.path.is_dir():
            return False
        leftovers = {self.log, self.checkpoints, self.path / LOCK}
        leftovers |= {*self.path.glob(".run.json.*"), *self.path.glob(".worker.log.*")}
        stored = self.checkpoints.iterdir() if self.checkpoints.is_dir() else ()
        holds_weights = any(not path.name.startswith(".") for path in stored)
        return not holds_weights and set(self.path.iterdir()) <= leftovers

    @property
    def checkpoints(self) -> Path:
        """Folder of the weight files."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Weights of the epoch that counts."""
        return self.checkpoints / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights of the last epoch that was written."""
        return self.checkpoints / "last.safetensors"

    def stage_end(self, stage: str) -> Path:
        """File of the weights that a stage, not the last, ended with."""
        return self.checkpoints / f"after_{stage}.safetensors"

    @property
    def log(self) -> Path:
        """What the worker process printed."""
        return self.path / "worker.log"

    def require_run(self) -> None:
        """Refuse to replace what is no run.

        Raises:
            UsageError: The folder is no run folder.
        """
        if not (self.path / "run.json").is_file():
            raise UsageError(
                f"received --overwrite for {str(self.path)!r}, which is no run folder; "
                "remove it by hand"
            )

    def clear(self) -> None:
        """Remove a former run's own files, and nothing else.

        Raises:
            UsageError: The folder is no run folder.
        """
        self.require_run()
        self.remove_results()
        for path in (self.log, self.path / "run.json"):
            path.unlink(missing_ok=True)

    def remove_results(self) -> None:
        """Remove what a former run has written, but for its log and `run.json`.

        `run.json` says that this is a run folder; the new run replaces it.
        """
        own = [
            "metrics.jsonl",
            "summary.json",
            "predictions.npz",
            "predictions_before.npz",
            SPLIT,
            EXPORTS,
        ]
        exports = self.path / "exports"
        written = [
            *find_checkpoints(self.checkpoints),
            *find_exports(exports, self.exports.own()),
        ]
        # What tells one's own exports goes after them.
        for path in [*written, *(self.path / name for name in own)]:
            path.unlink(missing_ok=True)
        for leftover in exports.glob(f"{EXPORT_LEFTOVER}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def write_run(self, record: Mapping[str, object]) -> None:
        """Write `run.json`."""
        write_json(self.path / "run.json", record)

    def read_run(self) -> dict[str, Any]:
        """Read `run.json`; an older version's says what it meant."""
        return read_as_meant(read_object(self.path / "run.json"))

    def mark(self, status: Status, **more: object) -> None:
        """Set the run's status, and further fields of `run.json`, on a full disk as well."""
        record = {**self.read_run(), "status": status, "status_changed": now(), **more}
        write_with_room(self.room, lambda: self.write_run(record))
        if status != "running":
            self.give_room()

    @property
    def room(self) -> Path:
        """File that keeps room for the last mark; named so that a start clears it away."""
        return self.path / ".run.json.room"

    def keep_room(self) -> None:
        """Keep room for the last mark, from before the first one on."""
        keep_room(self.room)

    def give_room(self) -> None:
        """Give it back."""
        give_room(self.room)

    def write_checkpoint(self, checkpoint: Checkpoint, frozen: FrozenTensors) -> None:
        """Replace the checkpoint to resume from."""
        write_checkpoint(self.checkpoints, checkpoint, frozen)

    def read_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to resume from, or none where nothing was saved yet."""
        return read_checkpoint(self.checkpoints)

    def cut_metrics(self, line: Mapping[str, Any] | None) -> None:
        """Cut the metrics back to the end of the epoch of `line`; none: to nothing."""
        path = self.path / "metrics.jsonl"
        if line is None:
            path.unlink(missing_ok=True)
            return
        kept = [own for own in self.read_metrics() if own.get("epoch", 0) < line["epoch"]]
        write_bytes(path, "".join(encode_line(own) for own in [*kept, line]).encode())

    def append_metrics(self, line: Mapping[str, object]) -> None:
        """Add one epoch's line."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(encode_line(line))
            file.flush()
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every epoch's line; a half-written last line is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            lines = read_regular(path).decode().split("\n")
            return [dict(json.loads(line)) for line in lines[:-1] if line]
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"received {str(path)!r}, which holds a line that is no metrics line ({error}); "
                "remove that line"
            ) from None

    def write_summary(self, row: Mapping[str, object]) -> None:
        """Write the row of the comparison table."""
        write_json(self.path / "summary.json", row)

    def read_summary(self) -> dict[str, Any]:
        """Read the row of the comparison table."""
        return read_object(self.path / "summary.json")

    def write_predictions(
        self,
        logits: Array,
        labels: NDArray[np.int64],
        ids: Sequence[str],
        name: str = "predictions.npz",
    ) -> None:
        """Write the test part's logits (N, C), labels (N,) and ids (N,)."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, logits=logits, labels=labels, ids=np.asarray(ids, dtype=np.str_)
        )
        write_bytes(self.path / name, buffer.getvalue())

    def keep_split(self, content: bytes) -> None:
        """Write which examples each part holds, unless the run's beginning has done so."""
        if not (self.path / SPLIT).exists():
            write_bytes(self.path / SPLIT, content)

    @property
    def exports(self) -> ExportNotes:
        """What was exported."""
        return ExportNotes(self.path / EXPORTS)


def now() -> str:
    """The time as run folders write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def encode_line(line: Mapping[str, object]) -> str:
    """One line of `metrics.jsonl`."""
    return json.dumps(finite(dict(line))) + "\n"
