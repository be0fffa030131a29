"""Files of the finalists: each row's network, exported by its own framework, and its latency.

All files are timed in one process on one thread, in turn. A row that has no time left has no
latency, which the page notes. The result is recorded in the ledger, so that it is measured once.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from poc.shared.actions.exports.plain_file import PlainFile, write_plain_file
from poc.shared.actions.study.jobs import NOT_BEGUN, Job
from poc.shared.actions.study.ledger import Entry
from poc.shared.actions.study.time_limit import limited
from poc.shared.engine.timing.file_latencies import time_in_turn
from poc.shared.engine.timing.rounds import first_line
from poc.shared.errors import Interrupted
from poc.shared.spec.reading.cell_names import safe, shorten_name

KEY, FOLDER = "files", "files"
# An export starts a process, so that it is not begun with less than this.
LEAST_SECONDS = 4.0
# Seconds of the clock per file, for single images and for batches; and the least number of calls.
SECONDS = {1: 1.0, 64: 2.0}
LEAST_ROUNDS = {1: 10, 64: 3}
NUM_THREADS = 1


class Row(NamedTuple):
    """A row of the finalists, and the run that stands for it."""

    candidate: str
    framework: str
    run: str

    @property
    def name(self) -> str:
        """Return the name of its file, without the ending."""
        return shorten_name(safe(f"{self.candidate},{self.framework}"))


class FileCost(NamedTuple):
    """Size of a file, and its latencies for one image and for 64; None if not measured."""

    file_bytes: float | None = None
    latency_seconds: float | None = None
    batch_latency_seconds: float | None = None


def list_rows(finals: Iterable[Job]) -> list[Row]:
    """Return one row per candidate and framework, with its first run."""
    found: dict[tuple[str, str], Row] = {}
    for job in finals:
        key = (job.candidate.name, job.backend)
        found.setdefault(key, Row(*key, job.key))
    return list(found.values())


def measure_files(
    rows: Sequence[Row],
    output: Path,
    limit_seconds: float,
    *,
    tell: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Entry:
    """Export each row, the first ones first, then time all files; return the ledger's entry.

    Args:
        rows: Rows, the most important first.
        output: The study's folder.
        limit_seconds: Time that there is.
        tell: Called with a sentence before each step.
        clock: Returns seconds.
    """
    end, longest = clock() + limit_seconds, LEAST_SECONDS
    files: dict[int, PlainFile] = {}
    errors: dict[int, str] = {}
    for place, row in enumerate(rows):
        began = clock()
        left = end - began - sum(SECONDS.values()) * (len(files) + 1)
        if left < longest:
            errors[place] = NOT_BEGUN
            continue
        tell(f"exporting {row.candidate}, {row.framework}")
        found = export_row(row, output, left)
        longest = max(longest, clock() - began)
        if isinstance(found, PlainFile):
            files[place] = found
        else:
            errors[place] = found
    tell("timing the files")
    latencies = time_files(list(files.values()), lambda: end - clock())
    measured = dict(zip(files, latencies, strict=True))
    return {
        "phase": "files",
        "num_threads": NUM_THREADS,
        "rows": [
            {
                "candidate": row.candidate,
                "framework": row.framework,
                "error": errors.get(place, ""),
                **(describe_file(files[place], output) if place in files else {}),
                **measured.get(place, {}),
            }
            for place, row in enumerate(rows)
        ],
    }


def export_row(row: Row, output: Path, limit_seconds: float) -> PlainFile | str:
    """Export the run of a row; return the reason if it fails or takes too long."""
    with limited(limit_seconds) as limit:
        try:
            return write_plain_file(output / row.run, output / FOLDER / row.name)
        except Interrupted:
            if not limit.is_over:
                raise
        # Whatever fails in an exporter or a runtime, the study must still give its answer.
        except Exception as error:
            if not limit.is_over:
                return f"it could not be exported: {first_line(error)}"
    return NOT_BEGUN


def time_files(
    files: Sequence[PlainFile], left: Callable[[], float]
) -> list[dict[str, float | int]]:
    """Time single images, then batches; return the figures of each file, in order.

    Args:
        files: Opened files.
        left: Gives the seconds that are left.
    """
    found: list[dict[str, float | int]] = [{} for _ in files]
    for size, seconds in SECONDS.items():
        if not files:
            break
        samples = time_in_turn(
            [make_call(file, size) for file in files],
            least_rounds=LEAST_ROUNDS[size],
            seconds=seconds * len(files),
            limit_seconds=left(),
        )
        for own, taken in zip(found, samples or [], strict=False):
            own[f"latency_{size}_seconds"] = median(taken)
            own[f"latency_{size}_calls"] = len(taken)
    return found


def make_call(file: PlainFile, batch_size: int) -> Callable[[], object]:
    """Return a call of a file with a batch of images (batch_size, H, W, C) uint8."""
    batch = np.resize(file.shown, (batch_size, *file.shown.shape[1:]))
    return lambda: file.model.logits(batch)


def describe_file(file: PlainFile, output: Path) -> dict[str, object]:
    """Return name, size and runtime of a file."""
    return {
        "file": str(file.path.relative_to(output)),
        "file_bytes": file.path.stat().st_size,
        "runtime": file.model.runtime,
    }


def read_files(entry: Entry) -> dict[tuple[str, str], FileCost]:
    """Return size and latencies of each row's file, by candidate and framework."""
    return {
        (row["candidate"], row["framework"]): FileCost(
            row.get("file_bytes"), row.get("latency_1_seconds"), row.get("latency_64_seconds")
        )
        for row in entry["rows"]
    }


def list_notes(entry: Entry) -> list[str]:
    """Return sentences about the rows that have no latency."""
    rows = entry["rows"]
    late = [row for row in rows if row["error"] == NOT_BEGUN]
    found = []
    if late:
        found.append(
            f"The time did not reach to export {len(late)} of {len(rows)} finalists, so that their "
            "latency is not known: a longer budget measures it."
        )
    found += [
        f"{row['candidate']} in {row['framework']}: {row['error']}."
        for row in rows
        if row["error"] not in ("", NOT_BEGUN)
    ]
    if any(not row["error"] and "latency_64_seconds" not in row for row in rows):
        found.append("The time did not reach to time batches of 64 images.")
    return found
