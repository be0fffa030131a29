"""A run's folder: tables, reports, paired tests and resumes read nothing else.

`run.json` (resolved spec, command, environment, status), `metrics.jsonl` (one object per epoch),
`summary.json` (the row of the comparison table), `predictions.npz` (test logits, labels, ids),
`validation_predictions.npz` (the same of the validation part), `split.npz` (which examples each
part held), `checkpoints/`, `worker.log`, `head_fit.json` of a run that fits its head and,
once the run has been exported or calibrated, `exports.json` and `decision.json`.
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
from .decision import DECISION
from .disk_reserve import give_room, keep_room, write_with_room
from .export_notes import EXPORTS, ExportNotes
from .frozen_tensors import FrozenTensors
from .own_files import EXPORT_LEFTOVER, find_checkpoints, find_exports, find_halves

# The file that a run locks while it writes (lock.py).
LOCK = "lock"
# The examples of each part (data/splits/recorded.py).
SPLIT = "split.npz"
# Answers for the validation part, on which a decision is fitted (decision.py).
VALIDATION_PREDICTIONS = "validation_predictions.npz"
Status = Literal["running", "finished", "interrupted", "failed"]


class RunFolder:
    """Reader and writer of one run's files; each write of a complete file is atomic."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, *, overwrite: bool = False) -> "RunFolder":
        """Make the folder, and remove a former run's files from it.

        Raises:
            UsageError: The folder has content and `overwrite` is false, or it cannot be made.
        """
        folder = cls(cls.reserve(path, overwrite=overwrite))
        if not folder.is_unused():
            folder.clear()
        folder.make(folder.checkpoints)
        return folder

    @classmethod
    def reserve(cls, path: Path | str, *, overwrite: bool = False) -> Path:
        """Make an empty folder, or check an existing one without changing it.

        Raises:
            UsageError: As `create`.
        """
        folder = cls(path)
        folder.require_room(overwrite=overwrite)
        folder.make(folder.path)
        return folder.path

    def require_room(self, *, overwrite: bool) -> None:
        """Refuse a folder in which no run may begin.

        Raises:
            UsageError: The folder has content, and `overwrite` is false or the content is no run.
        """
        if not self.path.exists() or self.is_unused():
            return
        if not overwrite:
            raise UsageError(
                f"Got the output {str(self.path)!r}, which already has content. Expected a new or "
                "empty folder. Try naming one, or adding --overwrite to replace a run."
            )
        self.require_run()

    def make(self, path: Path) -> None:
        """Make a folder of the run.

        Raises:
            UsageError: The folder cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"Got the output {str(self.path)!r}, which cannot be made ({error.strerror}). "
                "Expected a folder that you may write to. Try naming another."
            ) from None

    def is_unused(self) -> bool:
        """Tell if no run has begun here: empty, or with remainders of a start that ended early."""
        if not self.path.is_dir():
            return False
        leftovers = {self.log, self.checkpoints, self.path / LOCK, self.room}
        leftovers |= {*find_halves(self.path), *self.path.glob(".worker.log.*")}
        # A file with a leading dot is an unfinished write; any other holds work of a run.
        stored = self.checkpoints.iterdir() if self.checkpoints.is_dir() else ()
        holds_weights = any(not path.name.startswith(".") for path in stored)
        return not holds_weights and set(self.path.iterdir()) <= leftovers

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the weight files."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Return the file with the weights of the epoch that counts."""
        return self.checkpoints / "best.safetensors"

    @property
    def last(self) -> Path:
        """Return the file with the weights of the last epoch."""
        return self.checkpoints / "last.safetensors"

    def stage_end(self, stage: str) -> Path:
        """Return the file with the weights at the end of a stage that is not the last one."""
        return self.checkpoints / f"after_{stage}.safetensors"

    @property
    def log(self) -> Path:
        """Return the file with the output of the worker process."""
        return self.path / "worker.log"

    def require_run(self) -> None:
        """Refuse to replace a folder that is not a run folder.

        Raises:
            UsageError: The folder has no `run.json`.
        """
        if not (self.path / "run.json").is_file():
            raise UsageError(
                f"Got --overwrite for {str(self.path)!r}, which is no run folder. Expected a run "
                "folder. Try removing that folder by hand."
            )

    def clear(self) -> None:
        """Remove a former run's own files, and nothing else.

        Raises:
            UsageError: The folder is not a run folder.
        """
        self.require_run()
        self.remove_results()
        for path in (self.log, self.path / "run.json"):
            path.unlink(missing_ok=True)

    def remove_results(self) -> None:
        """Remove the files of a former run, except its log and `run.json`.

        `run.json` marks this as a run folder until the new run replaces it.
        """
        own = [
            *("metrics.jsonl", "summary.json", "predictions.npz", "predictions_before.npz"),
            *(VALIDATION_PREDICTIONS, DECISION, SPLIT, EXPORTS, "head_fit.json"),
        ]
        exports = self.path / "exports"
        written = [*find_checkpoints(self.checkpoints), *find_halves(self.path)]
        written += find_exports(exports, self.exports.own())
        # `exports.json` goes last: it alone tells which exports are the run's own.
        for path in [*written, *(self.path / name for name in own)]:
            path.unlink(missing_ok=True)
        for leftover in exports.glob(f"{EXPORT_LEFTOVER}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def write_run(self, record: Mapping[str, object]) -> None:
        """Write `run.json`."""
        write_json(self.path / "run.json", record)

    def read_run(self) -> dict[str, Any]:
        """Read `run.json`; settings of an older version are translated to today's."""
        return read_as_meant(read_object(self.path / "run.json"))

    def mark(self, status: Status, **more: object) -> None:
        """Set the run's status and further fields of `run.json`, even if the disk is full."""
        record = {**self.read_run(), "status": status, "status_changed": now(), **more}
        write_with_room(self.room, lambda: self.write_run(record))
        # Only the last mark may use up the reserve.
        if status != "running":
            self.give_room()

    @property
    def room(self) -> Path:
        """Return the file that reserves space for the last mark; a new start removes it."""
        return self.path / ".run.json.room"

    def keep_room(self) -> None:
        """Reserve space for the last mark; called before the first one."""
        keep_room(self.room)

    def give_room(self) -> None:
        """Release the reserved space."""
        give_room(self.room)

    def write_checkpoint(self, checkpoint: Checkpoint, frozen: FrozenTensors) -> None:
        """Replace the checkpoint to resume from."""
        write_checkpoint(self.checkpoints, checkpoint, frozen)

    def read_checkpoint(self) -> Checkpoint | None:
        """Read the checkpoint to resume from; None if nothing was saved yet."""
        return read_checkpoint(self.checkpoints)

    def cut_metrics(self, line: Mapping[str, Any] | None) -> None:
        """Remove metrics of epochs after that of `line`; None removes all."""
        path = self.path / "metrics.jsonl"
        if line is None:
            path.unlink(missing_ok=True)
            return
        kept = [own for own in self.read_metrics() if own.get("epoch", 0) < line["epoch"]]
        write_bytes(path, "".join(encode_line(own) for own in [*kept, line]).encode())

    def append_metrics(self, line: Mapping[str, object]) -> None:
        """Append one epoch's line, and wait until the disk has it."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(encode_line(line))
            file.flush()
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the line of each epoch; leave out a half-written last line."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            lines = read_regular(path).decode().split("\n")
            # The last piece is empty, or a line that lacks its end since its process was killed.
            return [dict(json.loads(line)) for line in lines[:-1] if line]
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"Got {str(path)!r}, with a line that is no metrics line ({error}). Expected one "
                "JSON object per line. Try removing that line."
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
        weights_sha256: str = "",
    ) -> None:
        """Write logits (N, C), labels (N,) and ids (N,) of a part, by default the test part.

        `weights_sha256` is the digest of the weight file that gave them, if a reader compares it.
        """
        digest = {"weights_sha256": np.asarray(weights_sha256)} if weights_sha256 else {}
        arrays: dict[str, NDArray[Any]] = {"logits": logits, "labels": labels, **digest}
        arrays["ids"] = np.asarray(ids, dtype=np.str_)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_bytes(self.path / name, buffer.getvalue())

    def keep_split(self, content: bytes) -> None:
        """Write the list of each part's examples, unless the run did it at its beginning."""
        if not (self.path / SPLIT).exists():
            write_bytes(self.path / SPLIT, content)

    @property
    def exports(self) -> ExportNotes:
        """Return the list of exports."""
        return ExportNotes(self.path / EXPORTS)


def now() -> str:
    """Return the time as run folders write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def encode_line(line: Mapping[str, object]) -> str:
    """Encode one line of `metrics.jsonl`."""
    return json.dumps(finite(dict(line))) + "\n"
