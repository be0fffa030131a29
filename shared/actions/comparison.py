"""`poc compare` and `poc parity`: both backends, one process each."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from poc.shared.analysis.parity.batches import Batch, make_uneven
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.progress import LadderProgress
from poc.shared.analysis.parity.rank_ladder import RankLadder, check_rank_ladder
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.parity.size import describe_shrinking, shrink
from poc.shared.analysis.verdicts.headline import read_headline
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import DEFAULT as DEFAULT_SAVE_EVERY
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.launch.course import Course
from poc.shared.engine.launch.rank_group import open_group
from poc.shared.engine.launch.run import launch_run
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.worker.handle import Worker
from poc.shared.errors import UsageError
from poc.shared.spec.habits.rules import require_common
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.reading.small_forms import Form, describe_form
from poc.shared.spec.run import BACKENDS, RunSpec

NUM_PARITY_BATCHES = 5
TIMING_CAVEAT = (
    "These times are from one run per backend, one after the other, so the load of the machine "
    "changes their ratio: `poc bench` times both in turn."
)


def describe_parity_run(run: RunSpec, form: Form | None) -> list[str]:
    """Describe the choices of a parity run that its user did not make, one line each."""
    lines = []
    if form is not None:
        lines.append(
            f"small form: {describe_form(form)}; --model, --data, --config or --set change it"
        )
    if run.teacher is not None and run.teacher.weights is None:
        lines.append("teacher: random, not trained; --teacher names your own")
    if find_method(run.method).fine_tuning is not None and run.initial_weights is None:
        lines.append("weights: random, not pretrained; --weights names your own")
    return lines


def read_batches(run: RunSpec, *, is_for_training: bool = False) -> tuple[RunSpec, list[Batch]]:
    """Return the run, completed from its data, and its first training batches.

    Each batch has `images`: (N, H, W, C) float32 and `labels`, as the training step takes them.

    Raises:
        UsageError: The data does not fit the run, or with `is_for_training` cannot train it.
    """
    resolved, data = resolve(run, is_for_training=is_for_training)
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
        run: The run to compare.
        changes: Fields of the run for one backend only: its mode, its layout.
        is_brief: See `Ladder`.
        is_small: Check a run that is trained next: refuse what the training would refuse, and use
            smaller images if the parameters stay the same, which the first rung notes.
        report: Called with progress events: the start, then each rung with its seconds.

    Returns:
        The rungs in the order of the ladder, passed or not.

    Raises:
        UsageError: The run follows native habits, or its data does not fit it.
    """
    require_common(run)
    resolved, batches = read_batches(run, is_for_training=is_small)
    climbed = shrink(resolved) if is_small else resolved
    note = describe_shrinking(resolved, climbed)
    progress = None if report is None else LadderProgress(report)
    with Worker("tf") as first, Worker("torch") as second:
        ladder = Ladder(climbed, first, second, changes or {}, is_brief=is_brief, progress=progress)
        rungs = ladder.climb(batches)
    return [replace(rungs[0], notes=(*rungs[0].notes, note)), *rungs[1:]] if note else rungs


def check_rank_parity(run: RunSpec, processes: int, report: Report) -> list[Rung]:
    """Climb the ladder of one process and of several, in both backends, in float64.

    Args:
        run: The run to compare.
        processes: Processes of each backend that compute it together.
        report: As of `check_parity`.

    Raises:
        UsageError: Processes cannot train this run together, or as `check_parity`.
        CheckFailed: Two ranks have other bits.
    """
    require_common(run)
    check_rank_ladder(run, processes)
    resolved, batches = read_batches(run)
    progress = LadderProgress(report)
    with (
        Worker("tf") as first,
        Worker("torch") as second,
        open_group("tf", processes) as first_ranks,
        open_group("torch", processes) as second_ranks,
    ):
        groups = (first_ranks, second_ranks)
        ladder = RankLadder(resolved, (first, second), groups, processes, progress)
        return ladder.climb(make_uneven(batches))


def check_start(output: Path | None, *, overwrite: bool, save_every: str | None) -> None:
    """Refuse options that only the launch of the runs would read, after the parity check.

    Raises:
        UsageError: As `check_output`, or `save_every` is no number of steps or minutes.
    """
    if save_every is not None:
        Saver.parse(save_every)
    if output is not None:
        check_output(output, overwrite=overwrite)


def describe_failure(rungs: Iterable[Rung]) -> str | None:
    """Return the message about the first rung that is not passed; None if all are."""
    # A broken rung proves a fault, so it is reported before one that cannot be judged.
    for rung in sorted(rungs, key=lambda rung: not rung.is_judged):
        if not rung.is_passed:
            # The failure of a rung that cannot be judged ends with its own advice.
            advice = " Try --dtype float64, which separates faults from rounding."
            return (
                f"Got parity {rung.failure}. Expected every rung within its bound."
                f"{advice if rung.is_judged else ''}"
            )
    return None


def check_output(root: Path, *, overwrite: bool) -> None:
    """Refuse an output folder before anything is computed.

    Raises:
        UsageError: It is not empty and `overwrite` is false, or it has something else than a
            comparison.
    """
    folders = [root / backend for backend in BACKENDS]
    if root.exists() and (not root.is_dir() or {*root.iterdir()} - {*folders}):
        if not overwrite:
            RunFolder(root).require_room(overwrite=False)
        elif not any((folder / "run.json").is_file() for folder in folders):
            raise UsageError(
                f"Got --overwrite for {str(root)!r}, which holds no comparison. Expected the "
                "folder of a former comparison. Try another name, or remove the folder by hand."
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
    """Train the same run in both backends, one after the other; return their rows."""
    root = output or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-compare-{run.method}"
    return [
        launch_run(
            run.replace(backend=backend),
            root / backend,
            command=command,
            overwrite=overwrite,
            report=report,
            course=Course(save_every=save_every),
        )
        for backend in BACKENDS
    ]


def difference_verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say if the runs show a difference of the frameworks, as a report would.

    Args:
        rows: Summaries of finished runs; `folder` is where their predictions are.
    """
    sentences = read_headline([Path(row["folder"]) for row in rows]).sentences
    return "\n".join(sentences) or "The runs have no test part, so a difference is not judged."
