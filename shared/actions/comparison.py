"""`poc compare` and `poc parity`: both backends, one process each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from poc.shared.analysis.parity.batches import Batch
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.progress import LadderProgress
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.parity.size import describe_shrinking, shrink
from poc.shared.analysis.verdicts.headline import read_headline
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import DEFAULT as DEFAULT_SAVE_EVERY
from poc.shared.engine.launch.run import launch_run
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.worker.handle import Worker
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.reading.small_forms import Form, describe_form
from poc.shared.spec.run import BACKENDS, RunSpec

NUM_PARITY_BATCHES = 5
TIMING_CAVEAT = (
    "Times are of one run a backend, one after the other, so that their ratios hold the moods of "
    "the machine: `poc bench` times both in turn."
)


def describe_parity_run(run: RunSpec, form: Form | None) -> list[str]:
    """What the ladder climbs on that its user did not name: one line each."""
    lines = []
    if form is not None:
        lines.append(
            f"small form: {describe_form(form)}; --model, --data, --config or --set for others"
        )
    if run.teacher is not None and run.teacher.weights is None:
        lines.append("teacher: drawn, not trained; --teacher for one of your own")
    if find_method(run.method).fine_tuning is not None and run.initial_weights is None:
        lines.append("body: drawn, not pretrained; --weights for one of your own")
    return lines


def read_batches(run: RunSpec) -> tuple[RunSpec, list[Batch]]:
    """The run with what its data fill in, and its first training batches."""
    resolved, data = resolve(run)
    with data:
        return resolved.spec, [
            {"images": batch.images, "labels": batch.learned}
            for batch in islice(data.train.epoch(0), NUM_PARITY_BATCHES)
        ]


def check_parity(
    run: RunSpec,
    changes: Mapping[str, Mapping[str, str]] | None = None,
    *,
    is_brief: bool = False,
    is_small: bool = False,
    report: Report | None = None,
) -> list[Rung]:
    """Climb the parity ladder on real batches of the run's own data.

    Args:
        run: What is compared.
        changes: Fields of the run that one backend alone sees: its mode, its layout.
        is_brief: See `Ladder`.
        is_small: On smaller images where these have the same parameters; the first rung notes it.
        report: Called with progress events: the start, then each rung with its seconds.
    """
    resolved, batches = read_batches(run)
    climbed = shrink(resolved) if is_small else resolved
    note = describe_shrinking(resolved, climbed)
    progress = None if report is None else LadderProgress(report)
    with Worker("tf") as first, Worker("torch") as second:
        ladder = Ladder(climbed, first, second, changes or {}, is_brief=is_brief, progress=progress)
        rungs = ladder.climb(batches)
    return [replace(rungs[0], notes=(*rungs[0].notes, note)), *rungs[1:]] if note else rungs


def check_output(root: Path, *, overwrite: bool) -> None:
    """Refuse a folder that no comparison may begin in, before anything is computed.

    Raises:
        UsageError: It holds something and `overwrite` is false, or what is no comparison.
    """
    folders = [root / backend for backend in BACKENDS]
    if root.exists() and (not root.is_dir() or {*root.iterdir()} - {*folders}):
        if not overwrite:
            RunFolder(root).require_room(overwrite=False)
        elif not any((folder / "run.json").is_file() for folder in folders):
            raise UsageError(
                f"received --overwrite for {str(root)!r}, which holds no comparison; remove it by "
                "hand"
            )
    for folder in folders:
        RunFolder(folder).require_room(overwrite=overwrite)


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
