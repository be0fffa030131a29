"""`poc compare` and `poc parity`: both backends, one process each."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from poc.shared.engine.datasets import open_data
from poc.shared.engine.launch import launch_run
from poc.shared.engine.saving import DEFAULT as DEFAULT_SAVE_EVERY
from poc.shared.engine.worker import Worker
from poc.shared.spec.run import BACKENDS, RunSpec

from .headline import read_headline
from .parity import Batch, Ladder
from .rungs import Rung

Report = Callable[[Mapping[str, Any]], None]
NUM_PARITY_BATCHES = 5
TIMING_CAVEAT = (
    "Times are of one run a backend, one after the other, so that their ratios hold the moods of "
    "the machine: `poc bench` times both in turn."
)


def check_parity(
    run: RunSpec,
    changes: Mapping[str, Mapping[str, str]] | None = None,
    *,
    is_brief: bool = False,
) -> list[Rung]:
    """Climb the parity ladder on real batches of the run's own data.

    `changes` are fields of the run that one backend alone sees: its mode, its layout. Brief: see
    `Ladder`.
    """
    resolved, data = open_data(run)
    with data:
        batches: list[Batch] = [
            {"images": batch.images, "labels": batch.learned}
            for batch in islice(data.train.epoch(0), NUM_PARITY_BATCHES)
        ]
    with Worker("tf") as first, Worker("torch") as second:
        ladder = Ladder(resolved, first, second, changes or {}, is_brief=is_brief)
        return ladder.climb(batches)


def compare_backends(
    run: RunSpec,
    output: Path | None,
    *,
    command: str,
    overwrite: bool,
    report: Report,
    save_every: str = DEFAULT_SAVE_EVERY,
) -> list[dict[str, Any]]:
    """Train the same run in both backends, one after the other; returns their rows."""
    root = output or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-compare-{run.method}"
    return [
        launch_run(
            run.replace(backend=backend),
            root / backend,
            command=command,
            overwrite=overwrite,
            report=report,
            save_every=save_every,
        )
        for backend in BACKENDS
    ]


def difference_verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether the runs show that the frameworks differ, in the words and the model of a report.

    Args:
        rows: Summaries of finished runs; `folder` holds their predictions.
    """
    sentences = read_headline([Path(row["folder"]) for row in rows]).sentences
    return "\n".join(sentences) or "The runs have no test part: nothing is said of a difference."
